"""The application under uWSGI: what uWSGI does not do itself.

uWSGI's http-socket closes every connection, takes absolute-form targets for paths, never sends
``100 Continue``, and takes a chunk size that is not a number for the end of the body. Its own writes
fail when a signal arrives while they wait for the client, so a graceful stop would cut downloads off.
"""
