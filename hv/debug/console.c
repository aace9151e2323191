/* SPDX-License-Identifier: MIT */
/* The switch of the input, the keys that wait, and how their output goes out: see debug.h. */
#include "debug/debug.h"
#include "arch/machine.h"
#include "base/print.h"
#include "base/serial.h"
#include "base/string.h"
#include "platform/cmdline.h"
#include "time/time.h"

#define STEP_NS   (50 * NS_PER_US) /* of a piece */
#define AGAIN_NS  (2 * NS_PER_MS)
#define ROOM      4096u /* of the line's ring, for others */
#define TRIES     50u   /* the lock of the console, AGAIN_NS apart; then it goes out without */
#define KEYS      16u
#define FROM_CALL 0x80u

/* The receiver's lock, which the filter is called under: */
static bool here; /* input is the core's */
static unsigned pressed;
static bool turned; /* and nobody was told yet */

/* Keys that wait: atomic places. */
static uint8_t key[KEYS];
static uint32_t key_in, key_out; /* in: under the lock of `pressing` */
static struct spinlock pressing;

/* Of one CPU at a time, see step. */
static struct timer timer;
static uint8_t now;
static debug_fn fn;
static struct debug_at at;
static unsigned tries;

static const struct debug_key *const groups[] = { debug_domains, debug_ipc, debug_machine };

static bool press(uint8_t k)
{
    bool room;

    if (!spin_trylock(&pressing))
        return false;
    room = key_in - READ_ONCE(key_out) < KEYS;
    if (room) {
        key[key_in % KEYS] = k;
        __atomic_store_n(&key_in, key_in + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&pressing);
    return room;
}

/* What of the switch was pressed and comes to nothing is input like any other. */
static unsigned filter(char c, char out[4])
{
    unsigned n = 0;

    if (c == cmdline.conswitch) {
        if (++pressed < 3)
            return 0;
        pressed = 0;
        here = !here;
        turned = true;
        return 0;
    }
    for (; pressed; pressed--)
        if (!here)
            out[n++] = cmdline.conswitch;
    if (!here)
        out[n++] = c;
    else
        (void)press((uint8_t)c & 0x7f);
    return n;
}

static const struct debug_key *find(char k)
{
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
        for (const struct debug_key *d = groups[i]; d->key; d++)
            if (d->key == k)
                return d;
    return NULL;
}

static bool help_line(struct debug_at *a, char *text)
{
    unsigned n = a->line;
    char k = (char)(now & 0x7f);

    if (k > ' ' && k < 0x7f && k != 'h' && !n--) {
        snprintf(text, DEBUG_LINE, "'%c' is no key, these are:", k);
        return true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
        for (const struct debug_key *d = groups[i]; d->key; d++)
            if (!n--) {
                snprintf(text, DEBUG_LINE, " %c  %s", d->key, d->help);
                return true;
            }
    if (!n)
        snprintf(text, DEBUG_LINE, " R  reboot the machine");
    return !n;
}

/* False: not now. */
static bool put(const char *text)
{
    char line[DEBUG_LINE + 8];

    if (now & FROM_CALL) {
        printk(LOG_ERR, "%s", text); /* it was asked for: whatever loglvl= */
        return true;
    }
    int n = snprintf(line, sizeof line, "(BH) %s\n", text);
    return console_try_write(line, (size_t)n, tries == TRIES);
}

static void begin(void)
{
    now = key[key_out % KEYS];
    __atomic_store_n(&key_out, key_out + 1, __ATOMIC_RELEASE);
    if ((now & 0x7f) == 'R')
        machine_reboot();
    const struct debug_key *d = find((char)(now & 0x7f));
    fn = d ? d->fn : help_line;
    at = (struct debug_at){ 0 };
}

/* A line of what is being told, or the next key. False: nothing is left. */
static bool next_line(char *text)
{
    if (__atomic_exchange_n(&turned, false, __ATOMIC_ACQ_REL)) {
        snprintf(text, DEBUG_LINE, "*** input to %s (Ctrl-%c three times switches%s)",
                 READ_ONCE(here) ? "the core's debug keys" : "the control domain",
                 cmdline.conswitch + 'A' - 1, READ_ONCE(here) ? ", h for help" : "");
        return true;
    }
    if (!fn && __atomic_load_n(&key_in, __ATOMIC_ACQUIRE) == key_out)
        return false;
    if (!fn)
        begin();
    if (!fn(&at, text))
        fn = NULL;
    at.line++;
    return true;
}

static char left[DEBUG_LINE]; /* a line that found the console taken */

/* False: nothing is left to be told. */
static bool piece(void)
{
    uint64_t end = now_ns() + STEP_NS;

    while (now_ns() < end && serial_space() >= ROOM) {
        if (!left[0] && !next_line(left))
            return false;
        if (left[0] && !put(left)) {
            tries += tries < TRIES;
            break;
        }
        tries = 0;
        left[0] = '\0';
    }
    return true;
}

/* debug_poll may have armed it on another CPU while it runs on one: that one comes again. */
static void step(struct timer *t)
{
    static struct spinlock telling;
    bool mine = spin_trylock(&telling), more = !mine || piece();

    if (mine)
        spin_unlock(&telling);
    if (more)
        timer_set(t, now_ns() + AGAIN_NS);
}

void debug_poll(void)
{
    if (READ_ONCE(turned) || READ_ONCE(key_in) != READ_ONCE(key_out))
        timer_set(&timer, now_ns());
}

int debug_press(const char *keys, size_t n)
{
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        if (!press((uint8_t)keys[i] | FROM_CALL))
            rc = -EAGAIN;
    debug_poll();
    return rc;
}

void debug_init(void)
{
    timer_setup(&timer, step);
    if (cmdline.conswitch)
        serial_filter(filter);
}
