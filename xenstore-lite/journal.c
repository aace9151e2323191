/* SPDX-License-Identifier: MIT */
/* Records in keep pages: see journal.h. */
#include "journal.h"
#include <string.h>
#include <zlib.h>

#define barrier() __asm__ volatile("" ::: "memory")
#define ALIGN8(n) (((n) + 7) & ~(size_t)7)
#define BEHIND    (8 + 2 * sizeof(struct jrec)) /* left free behind the last record, for the 0 */
#define SNAPSHOT_BESIDE \
    16384u /* what a snapshot has beside what lies in heaps: domids that are gone, two permission lists */

static struct {
    unsigned char *half[2];
    struct jhead *head;
    size_t size; /* of a half; 0: there is no journal */
    unsigned now;
    uint32_t epoch, nr;  /* of the half that counts, of the record at hand */
    unsigned char *base; /* where the record at hand goes; NULL: nowhere */
    size_t at, fill;     /* it begins here, its next entry goes there */
    bool full;           /* it did not fit */
    uint32_t new_epoch;
    uint64_t work;               /* of all records to the next instance */
    uint64_t cost;               /* what was put, in PARTS of a byte */
    uint64_t per_byte, per_work; /* in PARTS; 0: it is the snapshot */
} j;
#define PARTS 256u

static void store64(void *p, uint64_t v)
{
    barrier();
    *(volatile uint64_t *)p = v;
    barrier();
    xs_stored();
}

void journal_open(void *pages, size_t bytes)
{
    memset(&j, 0, sizeof j);
    if (bytes < 4 * (size_t)J_HEAD)
        return;
    j.head = pages;
    j.size = (bytes - J_HEAD) / 2 & ~(size_t)7;
    j.half[0] = (unsigned char *)pages + J_HEAD;
    j.half[1] = j.half[0] + j.size;
}

struct jhead *journal_head(void) { return j.size ? j.head : NULL; }

void journal_store(uint64_t *word, uint64_t v) { store64(word, v); }

size_t journal_covers(void)
{
    size_t room = j.size < SNAPSHOT_BESIDE ? 0 : j.size - SNAPSHOT_BESIDE;
    return room - room / 8;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */
void journal_bytes(const void *p, size_t n)
{
    if (!j.base || !n)
        return;
    j.cost += n * j.per_byte;
    j.full |= n > j.size || j.fill + n + BEHIND > j.size;
    if (j.full)
        return;
    memcpy(j.base + j.fill, p, n);
    j.fill += n;
    xs_stored();
}

void journal_entry(enum jtype type, uint16_t domid, uint32_t a, uint32_t b, size_t len)
{
    const struct jentry e = { (uint16_t)type, domid, a, b, (uint32_t)len };
    journal_bytes(&e, sizeof e);
    journal_work(1);
}

void journal_work(uint64_t units)
{
    j.work += units;
    j.cost += units * j.per_work;
}

uint64_t journal_cost(void) { return j.cost / PARTS; }

static uint32_t checksum(uint32_t epoch, uint64_t word, const unsigned char *entries)
{
    uLong crc = crc32(epoch, (const Bytef *)&word, sizeof word);
    return (uint32_t)crc32(crc, entries, (uInt)word);
}

static void record_begin(size_t at)
{
    j.at = at;
    j.fill = at + sizeof(struct jrec);
}

static void record_end(uint32_t epoch)
{
    struct jrec *r = (struct jrec *)(j.base + j.at);
    size_t len = j.fill - j.at - sizeof *r, next = ALIGN8(j.fill);
    uint64_t word = (uint32_t)len | (uint64_t)j.nr << 32;
    store64(j.base + next, 0);
    store64(&r->crc, checksum(epoch, word, j.base + j.at + sizeof *r));
    store64(&r->word, word);
    j.cost += (next - j.at - len) * j.per_byte;
    j.nr++;
    record_begin(next);
}

bool journal_seal(void)
{
    if (!j.full && j.base && j.fill > j.at + sizeof(struct jrec))
        record_end(j.epoch);
    return !j.full && (!j.base || j.work <= JOURNAL_WORK);
}

void journal_turn(void)
{
    if (!j.size)
        return;
    j.new_epoch = (j.epoch + 1) & 0x7fffffff;
    j.base = j.half[!j.now];
    j.nr = 0;
    j.full = false;
    j.per_byte = j.per_work = 0;
    record_begin(0);
}

/* The next snapshot will be about as long as this one, and comes when the rest of the half is used up, or JOURNAL_WORK is. */
static void price(void)
{
    size_t snapshot = j.at, room = j.size - snapshot;
    j.per_byte = PARTS + (uint64_t)snapshot * PARTS / room;
    j.per_work = (uint64_t)snapshot * PARTS / JOURNAL_WORK;
    j.work = 0;
}

bool journal_flip(void)
{
    if (!j.size)
        return true;
    if (j.full) {
        store64(&j.head->half, 0);
        j.base = NULL;
        j.size = 0;
        j.full = false;
        return false;
    }
    record_end(j.new_epoch);
    j.now = !j.now;
    j.epoch = j.new_epoch;
    store64(&j.head->half, word_of(j.epoch << 1 | j.now));
    if (j.head->adopting)
        store64(&j.head->adopting, 0);
    price();
    return true;
}

unsigned journal_serving(uint16_t domid, uint32_t req_cons)
{
    if (!j.base)
        return 0;
    uint64_t key = domid | (uint64_t)req_cons << 32, was = j.head->serving;
    unsigned deaths = (was ^ key) & ~0xffff0000ull ? 0 : was >> 16 & 0xffff;
    store64(&j.head->serving, key | (uint64_t)(deaths < 0xffff ? deaths + 1 : deaths) << 16);
    return deaths;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
unsigned journal_adopting(bool ordered)
{
    if (!j.size)
        return 0;
    uint64_t word = j.head->adopting;
    uint32_t n = word_ok(word) ? (uint32_t)word : 0;
    n -= ordered && n;
    store64(&j.head->adopting, word_of(n < UINT32_MAX ? n + 1 : n));
    return n;
}

static const unsigned char *record_at(const unsigned char *half, size_t at, uint32_t nr, size_t *len)
{
    struct jrec r;
    memcpy(&r, half + at, sizeof r);
    *len = (uint32_t)r.word;
    const unsigned char *entries = half + at + sizeof r;
    if (r.word >> 32 != nr || !*len || *len > j.size - at - sizeof r - sizeof r.word)
        return NULL;
    return r.crc == checksum(j.epoch, r.word, entries) ? entries : NULL;
}

enum journal_end journal_read(enum journal_part part,
                              void (*apply)(const struct jentry *e, const unsigned char *bytes,
                                            void *arg),
                              void *arg)
{
    uint64_t head = j.size ? j.head->half : 0, word;
    size_t at = 0, len;
    if (!head)
        return JOURNAL_NONE;
    if (!word_ok(head))
        return JOURNAL_DAMAGED;
    j.now = head & 1;
    j.epoch = (uint32_t)head >> 1;
    const unsigned char *half = j.half[j.now], *p;
    for (uint32_t nr = 0; at + 2 * sizeof(struct jrec) <= j.size; nr++) {
        memcpy(&word, half + at, sizeof word);
        if (part == JOURNAL_NOTHING || (nr && (!word || part == JOURNAL_SNAPSHOT)))
            return JOURNAL_SOUND;
        p = record_at(half, at, nr, &len);
        if (!p)
            return JOURNAL_DAMAGED;
        at = ALIGN8(at + sizeof(struct jrec) + len);
        while (len) {
            struct jentry e;
            if (len < sizeof e)
                return JOURNAL_DAMAGED;
            memcpy(&e, p, sizeof e);
            if (e.len > len - sizeof e)
                return JOURNAL_DAMAGED;
            apply(&e, p + sizeof e, arg);
            p += sizeof e + e.len;
            len -= sizeof e + e.len;
        }
    }
    return JOURNAL_DAMAGED;
}
