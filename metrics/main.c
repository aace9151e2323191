/* SPDX-License-Identifier: MIT */
/*
 * Shows what the machine counts, at http://ADDRESS/metrics: the control domain puts it into our directory in the store (store_keys.h), and
 * whoever reads it here has the last of that. Nothing that the network says goes on from here.
 *
 * Command line: what <lwip_vif.h> has. Line for tests: `metrics: http://ADDRESS/metrics`.
 */
#include <bh.h>
#include <lwip/apps/httpd.h>
#include <lwip_vif.h>
#include <stdio.h>
#include <stdlib.h>
#include <store_keys.h>
#include <string.h>
#include "page.h"

#define LOOK_NS (10 * NS_PER_S) /* a store that began anew knows of no watch */

static struct lwip_vif vif;

int main(void);

static void on_metrics(const char *path, void *arg)
{
    static char text[BH_METRICS_CHUNK * BH_METRICS_CHUNKS];
    char *now = xs_read(0, path), *end, key[32];
    size_t len = 0;

    (void)arg;
    if (!now)
        return;
    unsigned set = (unsigned)strtoul(now, &end, 10), n = (unsigned)strtoul(end, NULL, 10);
    free(now);
    for (unsigned i = 0; i < n && i < BH_METRICS_CHUNKS; i++) {
        snprintf(key, sizeof(key), BH_KEY_METRICS "/%u/%u", set, i);
        char *chunk = xs_read(0, key);
        if (!chunk)
            return;
        size_t part = strnlen(chunk, BH_METRICS_CHUNK);
        memcpy(text + len, chunk, part);
        len += part;
        free(chunk);
    }
    page_set(text, len);
}

int main(void)
{
    int rc = lwip_vif_open(&vif, 0);

    if (!rc)
        rc = xs_watch(BH_KEY_METRICS_NOW, on_metrics, NULL);
    if (rc)
        bh_panic("metrics: no network or no store: %d", rc);
    httpd_init();
    printf("metrics: http://%s/metrics\n", ip4addr_ntoa(netif_ip4_addr(&vif.netif)));
    for (uint64_t look = now_ns() + LOOK_NS;;) {
        lwip_wait(look);
        if (now_ns() < look)
            continue;
        on_metrics(BH_KEY_METRICS_NOW, NULL);
        look = now_ns() + LOOK_NS;
    }
}
