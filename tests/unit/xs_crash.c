/* SPDX-License-Identifier: MIT */
// LINK: tests/unit/xs_harness.c
/* xs_crash.h. */
#include "xs_crash.h"

jmp_buf death;
bool armed;
long points, countdown = -1, then_countdown = -1;
unsigned deaths;
void (*at_store)(void);
static void *chunk_of_heap[4096];
static unsigned nr_chunks;

int no_world(void **state) { return 0; }

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    void *p = __real_malloc(n);
    if (n == XS_CHUNK) {
        assert_true(nr_chunks < 4096);
        chunk_of_heap[nr_chunks++] = p;
    }
    return p;
}

void xs_stored(void)
{
    points++;
    if (at_store)
        at_store();
    if (!armed || countdown < 0 || countdown--)
        return;
    armed = false;
    longjmp(death, 1);
}

void forget_memory(void)
{
    size_t limit = xs_mem.limit;
    while (nr_chunks)
        free(chunk_of_heap[--nr_chunks]);
    xs_mem_init(limit);
}

static void rise(void)
{
    deaths++;
    countdown = then_countdown;
    then_countdown = -1;
    armed = true;
    forget_memory();
    assert_int_equal(next_instance(), 0);
    xs_snapshot(&store);
    store_sound();
}

void serve(struct client *k)
{
    if (setjmp(death))
        rise();
    armed = true;
    k->c = conn_find(&store, k->domid);
    assert_non_null(k->c);
    stream_serve(&store, k->c, 1 << 20);
    armed = false;
}

void turns(void)
{
    if (setjmp(death))
        rise();
    armed = true;
    while (xs_turns(&store))
        ;
    armed = false;
}
