/* SPDX-License-Identifier: MIT */
/* Memory that outlives an instance: a ring's indices, and records. See keep_record.h. */
#include <keep_record.h>
#include <string.h>
#include <zlib.h>

void keep_ring_open(struct keep_ring *r, uint32_t start)
{
    SHARED_STORE(&r->req_cons, keep_idx(start));
    SHARED_STORE(&r->rsp_next, keep_idx(start));
    SHARED_STORE(&r->rsp_pub, keep_idx(start));
}

void keep_ring_publish(struct keep_ring *r, volatile uint32_t *rsp_prod, uint32_t rsp)
{
    SHARED_STORE(&r->rsp_next, keep_idx(rsp));
    SHARED_STORE(rsp_prod, rsp); /* after the bodies: x86 keeps the order of stores */
    SHARED_STORE(&r->rsp_pub, keep_idx(rsp));
}

const char *keep_ring_check(const struct keep_ring *r, uint32_t rsp_prod, uint32_t size)
{
    if (!keep_idx_ok(r->req_cons) || !keep_idx_ok(r->rsp_next) || !keep_idx_ok(r->rsp_pub))
        return "ring indices are damaged";
    uint32_t cons = (uint32_t)r->req_cons, next = (uint32_t)r->rsp_next, pub = (uint32_t)r->rsp_pub;
    if (cons - pub > size || next - pub > cons - pub)
        return "ring indices contradict each other";
    return rsp_prod == pub || rsp_prod == next ? NULL : "the front-end moved rsp_prod";
}

static uint32_t crc(const void *p, size_t n) { return (uint32_t)crc32(0, p, (uInt)n); }

bool keep_record_valid(const void *rec, uint32_t magic, uint32_t version, size_t n)
{
    const uint32_t *w = rec;

    return w[0] == magic && w[2] == version && w[1] == crc(w + 2, n - 8);
}

void keep_record_save(void *rec, const void *from, uint32_t magic, uint32_t version, size_t n)
{
    uint32_t *to = rec, word[KEEP_RECORD_MAX / 4];

    memcpy(word, from, n);
    word[0] = magic;
    word[2] = version;
    word[1] = crc(word + 2, n - 8);
    SHARED_STORE(&to[0], 0u);
    for (size_t i = 1; i < n / 4; i++)
        SHARED_STORE(&to[i], word[i]);
    SHARED_STORE(&to[0], word[0]);
}
