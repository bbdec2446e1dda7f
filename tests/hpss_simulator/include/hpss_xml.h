/* User attributes as XML. Where the real client declares this function is not known. */
#ifndef HPSS_XML_H
#define HPSS_XML_H

char *hpss_ChompXMLHeader(char *XML, char *Header);

#endif
