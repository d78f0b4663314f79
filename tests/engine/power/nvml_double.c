/* A test double of libnvidia-ml.so.1: a GPU whose true power is known exactly, seen through the sensor of its
 * generation. Only what nvidia-ml-py calls on behalf of a power meter is here.
 *
 * Truth is a square wave with a closed-form integral. The sensor publishes, every `update`
 * seconds, the mean of the last `window` seconds (or a first-order lag of time constant `lag`), times `gain`. The
 * energy counter advances every `tick` seconds. Everything is set by text, `key=value` pairs separated by spaces,
 * from the environment variable NVML_DOUBLE or by double_control(); the clock is that of the machine or set by hand.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
       DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15 };
enum { FIELD_AVERAGE = 185, FIELD_INSTANT = 186, FIELD_LIMIT = 190, FIELD_COUNTER = 83 };

typedef struct { char key[24]; char text[96]; } Pair;
static Pair pairs[96];
static int num_pairs = 0, is_open = 0;
static double hand_s = 0.0, epoch_s = 0.0;
static const int whole_gpu = 1, mig_part = 2;

static const char *text_of(const char *key, const char *otherwise) {
    for (int i = num_pairs - 1; i >= 0; i--)
        if (!strcmp(pairs[i].key, key)) return pairs[i].text;
    return otherwise;
}
static double number(const char *key, double otherwise) {
    const char *text = text_of(key, NULL);
    return text ? atof(text) : otherwise;
}

/* Later pairs win; "!" forgets everything. */
void double_control(const char *line) {
    while (*line) {
        while (*line == ' ') line++;
        if (*line == '!') { num_pairs = is_open = 0; hand_s = 0.0; line++; continue; }
        const char *equals = strchr(line, '=');
        if (!equals || num_pairs == 96) return;
        size_t size = strcspn(equals + 1, " ");
        snprintf(pairs[num_pairs].key, sizeof pairs[0].key, "%.*s", (int)(equals - line), line);
        snprintf(pairs[num_pairs].text, sizeof pairs[0].text, "%.*s", (int)size, equals + 1);
        num_pairs++;
        line = equals + 1 + size;
    }
}
void double_set_time(double seconds) { hand_s = seconds; }

static double now_s(void) {
    if (!strcmp(text_of("clock", "real"), "hand")) return hand_s;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9 - epoch_s;
}

/* Energy of the square wave from 0 to t: `idle` before `begin` and after `end`; in between `high` for `duty` of each
 * period, then `low`. */
double double_energy_j(double t) {
    double idle = number("idle", 60), high = number("high", 300), low = number("low", 60);
    double period = number("period", 1), duty = number("duty", 0.5);
    double begin = number("begin", 0), end = number("end", 1e9);
    if (t <= begin) return idle * t;
    double busy = fmin(t, end) - begin, cycles = floor(busy / period), rest = busy - cycles * period;
    double part = fmin(rest, duty * period);
    double joules = cycles * period * (duty * high + (1 - duty) * low) + part * high + (rest - part) * low;
    return idle * begin + joules + idle * fmax(0, t - end);
}

/* A first-order lag in steps of 1 ms, remembered, since the state at t needs all that was before. */
static double lagged_w(double t, double lag) {
    static double state = -1, at = 0;
    if (state < 0 || t < at) { state = number("idle", 60); at = -1.0; }
    for (; at + 1e-3 <= t; at += 1e-3)
        state += ((double_energy_j(at + 1e-3) - double_energy_j(at)) / 1e-3 - state) * (1 - exp(-1e-3 / lag));
    return state;
}

/* What one channel shows: prefix "" for the plain reading, "i_" for INSTANT, "a_" for AVERAGE. */
static int channel(const char *prefix, double *watts) {
    char key[32];
    snprintf(key, sizeof key, "%swindow", prefix);
    double window = number(key, -1), update = number("update", 0.1), lag = number("lag", 0);
    if (window < 0) return NOT_SUPPORTED;
    double moment = floor((now_s() - number("offset", 0)) / update) * update + number("offset", 0);
    *watts = lag > 0 ? lagged_w(moment, lag) : (double_energy_j(moment) - double_energy_j(moment - window)) / window;
    *watts *= number("gain", 1);
    return SUCCESS;
}

static int fault(const char *call) {
    if (!is_open) return UNINITIALIZED;
    double t = now_s();
    if (t >= number("lost_at", 1e300)) return GPU_IS_LOST;
    if (t >= number("unloaded_at", 1e300)) return DRIVER_NOT_LOADED;
    if (t >= number("timeout_at", 1e300) && t < number("timeout_until", 1e300)) return TIMEOUT;
    if (!strcmp(text_of("forbidden", ""), call)) return NO_PERMISSION;
    if (!strcmp(text_of("missing", ""), call)) return NOT_SUPPORTED;
    return SUCCESS;
}
#define CHECK(call) do { int bad = fault(call); if (bad) return bad; } while (0)

static int counter_mj(uint64_t *millijoules) {
    CHECK("counter");
    if (number("counter", 1) == 0) return NOT_SUPPORTED;
    double tick = number("tick", 0.1), t = fmin(now_s(), number("frozen_at", 1e300));
    double moment = floor((t - number("tick_offset", 0.03)) / tick) * tick + number("tick_offset", 0.03);
    double joules = number("counter_gain", 1) * double_energy_j(moment) + number("counter_base", 5e4);
    joules += number("counter_module", 0) * moment; /* the rest of a module, where the counter includes it */
    double reset = number("reset_at", 1e300);
    if (t >= reset) joules = number("counter_gain", 1) * (double_energy_j(moment) - double_energy_j(reset));
    uint64_t whole = (uint64_t)(fmax(0, joules) * 1e3);
    *millijoules = number("wrap_bits", 64) == 32 ? whole & 0xffffffffu : whole;
    return SUCCESS;
}

typedef void *Device;
static Device gpu(void) { return (Device)&whole_gpu; }

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *line = getenv("NVML_DOUBLE");
    if (line && !num_pairs) double_control(line);
    if (!num_pairs) return DRIVER_NOT_LOADED;
    int refused = (int)number("init_error", 0);
    if (refused) return refused;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (!epoch_s) epoch_s = t.tv_sec + t.tv_nsec * 1e-9 - number("started", 10);
    is_open++;
    return SUCCESS;
}
int nvmlShutdown(void) { if (is_open) is_open--; return SUCCESS; }
const char *nvmlErrorString(int code) { static char s[40]; snprintf(s, sizeof s, "double error %d", code); return s; }
static int put(char *into, unsigned size, const char *text) { snprintf(into, size, "%s", text); return SUCCESS; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { CHECK("driver"); return put(s, n, text_of("driver", "535.54.03")); }
int nvmlDeviceGetCount_v2(unsigned *n) { CHECK("count"); *n = (unsigned)number("count", 1); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Device *d) {
    CHECK("handle");
    if (i >= (unsigned)number("count", 1)) return INVALID_ARGUMENT;
    *d = gpu();
    return SUCCESS;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device *d) {
    CHECK("handle");
    if (!strncmp(uuid, "MIG-", 4)) { *d = (Device)&mig_part; return SUCCESS; }
    if (strcmp(uuid, "GPU-double")) return NOT_FOUND;
    *d = gpu();
    return SUCCESS;
}
int nvmlDeviceIsMigDeviceHandle(Device d, unsigned *is) { CHECK("mig"); *is = d == (Device)&mig_part; return SUCCESS; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device d, Device *whole) { (void)d; *whole = gpu(); return SUCCESS; }
int nvmlDeviceGetName(Device d, char *s, unsigned n) {
    (void)d;
    CHECK("name");
    put(s, n, text_of("name", "NVIDIA_A100"));
    for (; *s; s++) if (*s == '_') *s = ' ';
    return SUCCESS;
}
int nvmlDeviceGetUUID(Device d, char *s, unsigned n) { (void)d; CHECK("uuid"); return put(s, n, "GPU-double"); }
int nvmlDeviceGetArchitecture(Device d, unsigned *a) { (void)d; CHECK("architecture"); *a = (unsigned)number("arch", 7); return SUCCESS; }
int nvmlDeviceGetMigMode(Device d, unsigned *current, unsigned *pending) {
    (void)d;
    CHECK("mig");
    *current = *pending = (unsigned)number("mig", 0);
    return SUCCESS;
}
int nvmlDeviceGetVirtualizationMode(Device d, unsigned *mode) { (void)d; CHECK("virtual"); *mode = (unsigned)number("virtual", 0); return SUCCESS; }
int nvmlDeviceGetEnforcedPowerLimit(Device d, unsigned *mw) { (void)d; CHECK("limit"); *mw = (unsigned)(number("limit", 400) * 1e3); return SUCCESS; }
int nvmlDeviceGetClockInfo(Device d, unsigned kind, unsigned *mhz) { (void)d; CHECK("clock"); *mhz = kind == 2 ? 1215 : 1410; return SUCCESS; }
int nvmlDeviceGetTemperature(Device d, unsigned sensor, unsigned *c) { (void)d; (void)sensor; CHECK("temperature"); *c = 47; return SUCCESS; }
int nvmlDeviceGetCurrentClocksEventReasons(Device d, unsigned long long *r) {
    (void)d;
    CHECK("reasons");
    *r = (unsigned long long)number("reasons", 4);
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(Device d, unsigned *mw) {
    CHECK("power");
    if (d == (Device)&mig_part) return NOT_SUPPORTED;
    double watts;
    int bad = channel("", &watts);
    if (!bad) *mw = (unsigned)(watts * 1e3);
    return bad;
}
int nvmlDeviceGetTotalEnergyConsumption(Device d, unsigned long long *mj) {
    uint64_t value;
    if (d == (Device)&mig_part) return NOT_SUPPORTED;
    int bad = counter_mj(&value);
    if (!bad) *mj = value;
    return bad;
}

typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency;
    int type, code;
    union { double d; unsigned ui; unsigned long long ull; } value;
} FieldValue;
int nvmlDeviceGetFieldValues(Device d, int count, FieldValue *fields) {
    (void)d;
    CHECK("fields");
    double module = number("module", 0); /* watts that the rest of the module adds; 0 = no such scope */
    for (int i = 0; i < count; i++) {
        FieldValue *f = &fields[i];
        double watts = 0;
        f->type = 1;
        f->code = SUCCESS;
        if (f->scope > 1 || (f->scope == 1 && module == 0)) { f->code = NOT_SUPPORTED; continue; }
        if (f->field == FIELD_INSTANT) f->code = channel("i_", &watts);
        else if (f->field == FIELD_AVERAGE) f->code = channel("a_", &watts);
        else if (f->field == FIELD_LIMIT) watts = number("limit", 400);
        else f->code = NOT_SUPPORTED;
        if (f->code == SUCCESS) f->value.ui = (unsigned)((watts + (f->scope == 1 ? module : 0)) * 1e3);
    }
    return SUCCESS;
}
