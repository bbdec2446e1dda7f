/* In the manner of small tools that use HPSS as they use stdio.
 *
 * stream PRINCIPAL AUTH PATH
 */
#include "program.h"

static void tell(const char *call, long code) { printf("%s %ld%s%s\n", call, code, code < 0 ? " " : "", code < 0 ? hpss_ErrnoName(-errno) : ""); }

static void write_it(char *path) {
    HPSS_FILE *stream = hpss_Fopen(path, "w");
    tell("write", (long)hpss_Fwrite("first line\nsecond", 1, 17, stream));
    tell("flush", hpss_Fflush(stream));
    tell("items", (long)hpss_Fwrite("123456", 2, 3, stream));
    tell("tell", hpss_Ftell(stream));
    errno = 0;
    tell("read from a writer", (long)hpss_Fread(&(char){0}, 1, 1, stream) - (errno != 0));
    tell("close", hpss_Fclose(stream));
}

static void read_it(char *path) {
    char text[64];
    HPSS_FILE *stream = hpss_Fopen(path, "r");
    printf("line %s", hpss_Fgets(text, sizeof text, stream));
    printf("letter %c\n", hpss_Fgetc(stream));
    tell("tell", hpss_Ftell(stream));
    tell("seek", hpss_Fseek(stream, 17, SEEK_SET));
    size_t got = hpss_Fread(text, 1, sizeof text, stream);
    printf("rest %.*s\n", (int)got, text);
    tell("seek before the start", hpss_Fseek(stream, -1, SEEK_SET));
    tell("close", hpss_Fclose(stream));
}

/* Read, then write where the reading stopped, then append. */
static void change_it(char *path) {
    char text[64];
    HPSS_FILE *stream = hpss_Fopen(path, "r+");
    hpss_Fread(text, 1, 6, stream);
    hpss_Fwrite("LINE", 1, 4, stream);
    hpss_Fseek(stream, 0, SEEK_SET);
    printf("changed %s", hpss_Fgets(text, sizeof text, stream));
    hpss_Fclose(stream);
    stream = hpss_Fopen(path, "a");
    hpss_Fwrite("!", 1, 1, stream);
    tell("close", hpss_Fclose(stream));
}

int main(int count, char **words) {
    if (count != 4)
        return 2;
    log_in(words[1], words[2]);
    errno = 0;
    tell("open what is missing", hpss_Fopen(words[3], "r") == NULL ? -1 : 0);
    write_it(words[3]);
    read_it(words[3]);
    change_it(words[3]);
    return 0;
}
