/* The failure file, read anew at every call: which lines speak of this call, and what they ask for.
 *
 * A line is FUNCTION PATH KEY[=VALUE]...; FUNCTION and PATH are shell patterns, and "core" names every function that asks
 * the core server. The README lists the keys.
 */
#include "sim.h"

#include <fnmatch.h>

struct rule {
    uint64_t skip, times, pause;
    double chance, seconds;
};

static const struct {
    const char *name;
    int code;
} CODES[] = {
#define CODE(name) {#name, name}
    CODE(HPSS_EPERM),     CODE(HPSS_ENOENT),       CODE(HPSS_EINTR),       CODE(HPSS_EIO),
    CODE(HPSS_ENXIO),     CODE(HPSS_EBADF),        CODE(HPSS_ECHILD),      CODE(HPSS_EAGAIN),
    CODE(HPSS_ENOMEM),    CODE(HPSS_EACCES),       CODE(HPSS_EFAULT),      CODE(HPSS_EBUSY),
    CODE(HPSS_EEXIST),    CODE(HPSS_EXDEV),        CODE(HPSS_ENODEV),      CODE(HPSS_ENOTDIR),
    CODE(HPSS_EISDIR),    CODE(HPSS_EINVAL),       CODE(HPSS_ENFILE),      CODE(HPSS_EMFILE),
    CODE(HPSS_EFBIG),     CODE(HPSS_ENOSPACE),     CODE(HPSS_EMLINK),      CODE(HPSS_EPIPE),
    CODE(HPSS_EDOM),      CODE(HPSS_ERANGE),       CODE(HPSS_EDEADLK),     CODE(HPSS_ENOLCK),
    CODE(HPSS_EWRPROTECT), CODE(HPSS_ECONN),       CODE(HPSS_ESTALE),      CODE(HPSS_EMSGSIZE),
    CODE(HPSS_ENOSR),     CODE(HPSS_EOPNOTSUPP),   CODE(HPSS_ENOLINK),     CODE(HPSS_EBADMSG),
    CODE(HPSS_ETIMEDOUT), CODE(HPSS_ENAMETOOLONG), CODE(HPSS_ENOTEMPTY),   CODE(HPSS_EDQUOT),
    CODE(HPSS_ENOTALLMOVED), CODE(HPSS_SEC_ENOT_AUTHORIZED), CODE(HPSS_EOM),
};
#define CODE_COUNT (sizeof CODES / sizeof *CODES)

const char *hpss_ErrnoName(int code) {
    for (size_t i = 0; i < CODE_COUNT; i++)
        if (CODES[i].code == code)
            return CODES[i].name;
    return "unknown error code";
}

const char *hpss_ErrnoString(int code) { return hpss_ErrnoName(code); }

static int code_of(const char *text) {
    for (size_t i = 0; i < CODE_COUNT; i++)
        if (strcmp(CODES[i].name, text) == 0)
            return CODES[i].code;
    return atoi(text);
}

static bool is(const char *word, const char *key, const char **value) {
    size_t length = strlen(key);
    if (strncmp(word, key, length) != 0 || (word[length] != '=' && word[length] != '\0'))
        return false;
    *value = word[length] == '=' ? word + length + 1 : "";
    return true;
}

static void apply(const char *word, struct failure *failure) {
    const char *value;
    if (is(word, "rc", &value) && !failure->has_code) {
        failure->has_code = true;
        failure->code = code_of(value);
    } else if (is(word, "at", &value)) {
        failure->has_limit = true;
        failure->limit = strtoull(value, NULL, 10);
    } else if (is(word, "short", &value)) {
        failure->has_short = true;
        failure->shortened = strtoull(value, NULL, 10);
    } else if (is(word, "after", &value)) {
        failure->after = true;
    } else if (is(word, "hang", &value)) {
        failure->hang = true;
    } else if (is(word, "abort", &value)) {
        failure->abort = true;
    } else if (is(word, "busy", &value)) {
        failure->busy = true;
    } else if (is(word, "xml", &value)) {
        failure->xml = true;
    } else if (is(word, "lag", &value)) {
        failure->lag = true;
    } else if (is(word, "unplaced", &value)) {
        failure->unplaced = true;
    } else if (is(word, "lost", &value)) {
        failure->lost = true;
    } else if (is(word, "delay", &value)) {
        failure->delay = atof(value);
    } else if (is(word, "skew", &value)) {
        failure->skew = atof(value);
    } else if (is(word, "fraction", &value)) {
        failure->fraction = atof(value);
    } else if (is(word, "stage", &value)) {
        failure->stage_code = code_of(value);
    } else if (is(word, "corrupt", &value)) {
        failure->corrupt = atoll(value);
    } else if (is(word, "longer", &value)) {
        failure->longer = atoll(value);
    } else if (is(word, "text", &value)) {
        snprintf(failure->text, sizeof failure->text, "%s", value);
    }
}

static void limits(const char *word, struct rule *rule) {
    const char *value;
    if (is(word, "skip", &value))
        rule->skip = strtoull(value, NULL, 10);
    else if (is(word, "times", &value))
        rule->times = strtoull(value, NULL, 10);
    else if (is(word, "every", &value))
        rule->pause = strtoull(value, NULL, 10);
    else if (is(word, "chance", &value))
        rule->chance = atof(value);
    else if (is(word, "for", &value))
        rule->seconds = atof(value);
}

static uint64_t hash(const char *line) {
    uint64_t sum = 14695981039346656037ull;
    for (; *line != '\0'; line++)
        sum = (sum ^ (uint8_t)*line) * 1099511628211ull;
    return sum | 1;
}

/* Count one more call for this line; true when the line's limits let it act. */
static bool due(uint64_t line, const struct rule *rule) {
    struct state *state = sim_state();
    bool acts = false;
    sim_lock();
    for (size_t step = 0; step < RULE_COUNT; step++) {
        size_t slot = (line + step) % RULE_COUNT;
        if (state->rule[slot].line != 0 && state->rule[slot].line != line)
            continue;
        if (state->rule[slot].line == 0) {
            state->rule[slot].line = line;
            state->rule[slot].first_hit = sim_now();
        }
        uint64_t hit = (uint64_t)state->rule[slot].hits++;
        uint64_t age = sim_now() - state->rule[slot].first_hit;
        acts = hit >= rule->skip && hit - rule->skip < rule->times && (hit - rule->skip) % rule->pause == 0 &&
               (double)age <= rule->seconds * 1e9 && (double)random() / RAND_MAX < rule->chance;
        break;
    }
    sim_unlock();
    return acts;
}

/* Whether a line that made a call hang still does: it is there, and its time is not over. */
static bool lasts(uint64_t line, const struct rule *rule) {
    struct state *state = sim_state();
    bool found = false;
    sim_lock();
    for (size_t slot = 0; !found && slot < RULE_COUNT; slot++)
        found = state->rule[slot].line == line &&
                (double)(sim_now() - state->rule[slot].first_hit) <= rule->seconds * 1e9;
    sim_unlock();
    return found;
}

static bool speaks_of(const char *pattern, const char *where, const struct call *call) {
    bool function = strcmp(pattern, "core") == 0 ? call->asks_core : fnmatch(pattern, call->function, 0) == 0;
    return function && fnmatch(where, call->path, 0) == 0;
}

static void one_line(char *line, const struct call *call, bool again, struct failure *failure) {
    uint64_t identity = hash(line);
    char *rest, *word;
    const char *pattern = strtok_r(line, " \t", &rest);
    const char *where = strtok_r(NULL, " \t", &rest);
    if (pattern == NULL || *pattern == '#' || where == NULL)
        return;
    if (!speaks_of(pattern, where, call))
        return;
    struct rule rule = {0, UINT64_MAX, 1, 2.0, 1e9};
    struct failure asked = *failure;
    while ((word = strtok_r(NULL, " \t", &rest)) != NULL) {
        limits(word, &rule);
        apply(word, &asked);
    }
    if (again ? lasts(identity, &rule) : due(identity, &rule))
        *failure = asked;
}

static void read_lines(const struct call *call, bool again, struct failure *failure) {
    *failure = (struct failure){.corrupt = -1, .fraction = 1.0};
    char name[PATH_BYTES], text[16384];
    snprintf(name, sizeof name, "%s/failures", sim_root());
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        one_line(line, call, again, failure);
}

/* Note in *call* what the file asks of it. */
void sim_failures(struct call *call) { read_lines(call, false, &call->failure); }

bool sim_still_hangs(const struct call *call) {
    struct failure failure;
    read_lines(call, true, &failure);
    return failure.hang;
}
