/* User attributes: keys under /hpss, values plain text, kept in the file's record. */
#include "sim.h"

#define XML_HEADER "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

/* Where *key* begins in the record's attributes, or NULL. */
static char *entry_of(struct record *record, const char *key) {
    char *end = record->attributes + record->attribute_length;
    for (char *entry = record->attributes; entry < end;) {
        char *value = entry + strlen(entry) + 1;
        if (strcmp(entry, key) == 0)
            return entry;
        entry = value + strlen(value) + 1;
    }
    return NULL;
}

static size_t entry_length(const char *entry) {
    size_t key = strlen(entry) + 1;
    return key + strlen(entry + key) + 1;
}

static void remove_entry(struct record *record, char *entry) {
    size_t length = entry_length(entry);
    char *end = record->attributes + record->attribute_length;
    memmove(entry, entry + length, (size_t)(end - entry) - length);
    record->attribute_length -= (uint32_t)length;
}

static int set_entry(struct record *record, const char *key, const char *value) {
    size_t length = strlen(key) + strlen(value) + 2;
    if (strncmp(key, "/hpss/", 6) != 0)
        return HPSS_EINVAL;
    char *entry = entry_of(record, key);
    if (entry != NULL)
        remove_entry(record, entry);
    if (record->attribute_length + length > ATTRIBUTE_BYTES)
        return HPSS_ENOSPACE;
    char *end = record->attributes + record->attribute_length;
    strcpy(end, key);
    strcpy(end + strlen(key) + 1, value);
    record->attribute_length += (uint32_t)length;
    return 0;
}

static int set_attributes(const char *path, SIM_CONST hpss_userattr_list_t *list) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    for (int i = 0; code == 0 && i < list->len; i++)
        code = set_entry(record, list->Pair[i].Key, list->Pair[i].Value);
    sim_unlock();
    return code;
}

int hpss_UserAttrSetAttrs(SIM_CONST char *path, SIM_CONST hpss_userattr_list_t *list, SIM_CONST char *schema) {
    struct call call;
    (void)schema;
    int code = sim_enter(&call, "hpss_UserAttrSetAttrs", path, "n=%d", list->len);
    return (int)sim_leave(&call, code != 0 ? code : set_attributes(path, list));
}

int hpss_UserAttrSetAttrsHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, SIM_CONST sec_cred_t *user,
                                SIM_CONST hpss_userattr_list_t *list, SIM_CONST char *schema) {
    struct call call;
    char path[PATH_BYTES];
    (void)user, (void)schema;
    int code = sim_enter_handle(&call, "hpss_UserAttrSetAttrsHandle", handle, name, path);
    return (int)sim_leave(&call, code != 0 ? code : set_attributes(path, list));
}

static int delete_attributes(const char *path, SIM_CONST hpss_userattr_list_t *list) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    for (int i = 0; code == 0 && i < list->len; i++) {
        char *entry = entry_of(record, list->Pair[i].Key);
        if (entry == NULL)
            code = HPSS_ENOENT;
        else
            remove_entry(record, entry);
    }
    sim_unlock();
    return code;
}

int hpss_UserAttrDeleteAttrs(SIM_CONST char *path, SIM_CONST hpss_userattr_list_t *list, SIM_CONST char *schema) {
    struct call call;
    (void)schema;
    int code = sim_enter(&call, "hpss_UserAttrDeleteAttrs", path, "n=%d", list->len);
    return (int)sim_leave(&call, code != 0 ? code : delete_attributes(path, list));
}

int hpss_UserAttrDeleteAttrsHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, SIM_CONST sec_cred_t *user,
                                   SIM_CONST hpss_userattr_list_t *list, SIM_CONST char *schema) {
    struct call call;
    char path[PATH_BYTES];
    (void)user, (void)schema;
    int code = sim_enter_handle(&call, "hpss_UserAttrDeleteAttrsHandle", handle, name, path);
    return (int)sim_leave(&call, code != 0 ? code : delete_attributes(path, list));
}

/* Write the value into the caller's buffer, with the XML header when asked for or injected. */
static int give_value(const char *value, const struct failure *failure, int flag, int size, char *out) {
    const char *header = flag == UDA_API_XML || failure->xml ? XML_HEADER : "";
    const char *text = failure->text[0] != '\0' ? failure->text : value;
    long length = (long)(strlen(header) + strlen(text)) + failure->longer;
    if (length >= size)
        return HPSS_ERANGE;
    snprintf(out, (size_t)size, "%s%s", header, text);
    return 0;
}

static int get_entries(const struct failure *failure, const char *path, hpss_userattr_list_t *list, int flag, int size) {
    struct record *record;
    if (flag != UDA_API_VALUE && flag != UDA_API_XML)
        return HPSS_EINVAL;
    sim_lock();
    int code = sim_find(path, &record);
    for (int i = 0; code == 0 && i < list->len; i++) {
        const char *entry = entry_of(record, list->Pair[i].Key);
        code = entry == NULL ? HPSS_ENOENT
                             : give_value(entry + strlen(entry) + 1, failure, flag, size, list->Pair[i].Value);
    }
    sim_unlock();
    return code;
}

static int get_attributes(const char *path, hpss_userattr_list_t *list, int flag, int size) {
    struct call call;
    int code = sim_enter(&call, "hpss_UserAttrGetAttrs", path, "n=%d %s", list->len, list->len > 0 ? list->Pair->Key : "-");
    return (int)sim_leave(&call, code != 0 ? code : get_entries(&call.failure, path, list, flag, size));
}

static int get_by_handle(const ns_ObjHandle_t *handle, const char *name, hpss_userattr_list_t *list, int flag, int size) {
    struct call call;
    char path[PATH_BYTES];
    int code = sim_enter_handle(&call, "hpss_UserAttrGetAttrsHandle", handle, name, path);
    return (int)sim_leave(&call, code != 0 ? code : get_entries(&call.failure, path, list, flag, size));
}

static int list_attributes(const char *path, hpss_userattr_list_t *list, int flags, int size) {
    struct call call;
    struct record *record;
    (void)size;
    int code = sim_enter(&call, "hpss_UserAttrListAttrs", path, "-");
    list->len = 0;
    list->Pair = NULL;
    sim_lock();
    if (code == 0 && flags != XML_ATTR && flags != XML_NO_ATTR)
        code = HPSS_EINVAL;
    if (code == 0)
        code = sim_find(path, &record);
    if (code == 0) {
        char *end = record->attributes + record->attribute_length;
        list->Pair = sim_block(64 * sizeof *list->Pair);
        for (char *entry = record->attributes; entry < end && list->len < 64; entry += entry_length(entry)) {
            list->Pair[list->len].Key = sim_text(entry);
            list->Pair[list->len++].Value = sim_text(entry + strlen(entry) + 1);
        }
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

#if SIM_VERSION >= 705
int hpss_UserAttrGetAttrsHandle(const ns_ObjHandle_t *handle, const char *name, const sec_cred_t *user,
                                hpss_userattr_list_t *list, int flag, int size) {
    (void)user;
    return get_by_handle(handle, name, list, flag, size);
}

int hpss_UserAttrGetAttrs(const char *path, hpss_userattr_list_t *list, int flag, int size) {
    return get_attributes(path, list, flag, size);
}

int hpss_UserAttrListAttrs(const char *path, hpss_userattr_list_t *list, int flags, int size) {
    return list_attributes(path, list, flags, size);
}
#else
int hpss_UserAttrGetAttrsHandle(ns_ObjHandle_t *handle, char *name, sec_cred_t *user, hpss_userattr_list_t *list,
                                int flag) {
    (void)user;
    return get_by_handle(handle, name, list, flag, HPSS_XML_SIZE);
}

int hpss_UserAttrGetAttrs(char *path, hpss_userattr_list_t *list, int flag) {
    return get_attributes(path, list, flag, HPSS_XML_SIZE);
}

int hpss_UserAttrListAttrs(char *path, hpss_userattr_list_t *list, int flags) {
    return list_attributes(path, list, flags, HPSS_XML_SIZE);
}

int hpss_UserAttrLenGetAttrs(char *path, hpss_userattr_list_t *list, int flag, int size) {
    return get_attributes(path, list, flag, size);
}

int hpss_UserAttrLenListAttrs(char *path, hpss_userattr_list_t *list, int flags, int size) {
    return list_attributes(path, list, flags, size);
}
#endif

char *hpss_ChompXMLHeader(char *xml, char *header) {
    size_t length = strlen(XML_HEADER);
    bool found = strncmp(xml, XML_HEADER, length) == 0;
    if (header != NULL)
        strcpy(header, found ? XML_HEADER : "");
    return sim_text(found ? xml + length : xml);
}
