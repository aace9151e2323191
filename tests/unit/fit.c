/* SPDX-License-Identifier: MIT */
/* fit.h. */
#include "fit.h"
#include "job/job.h"

unsigned breaths;
void job_breathe(void) { breaths++; }

void fit_begin(void *fdt, int space)
{
    fdt_create(fdt, space);
    fdt_finish_reservemap(fdt);
    fdt_begin_node(fdt, "");
    fdt_begin_node(fdt, "images");
}

void fit_add(void *fdt, const char *name, const char *compression, const void *data, size_t len,
             const char *hash)
{
    uint8_t digest[32];
    uint32_t crc = __builtin_bswap32((uint32_t)crc32(0, data, (uInt)len));

    sha256(data, len, digest);
    fdt_begin_node(fdt, name);
    fdt_property(fdt, "data", data, (int)len);
    fdt_property_string(fdt, "compression", compression);
    fdt_begin_node(fdt, "hash-1");
    fdt_property_string(fdt, "algo", hash);
    if (!strcmp(hash, "crc32"))
        fdt_property(fdt, "value", &crc, 4);
    else
        fdt_property(fdt, "value", digest, 32);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
}

size_t fit_end(void *fdt, const char *loadables, int len)
{
    fdt_end_node(fdt);
    fdt_begin_node(fdt, "configurations");
    fdt_property_string(fdt, "default", "boot");
    fdt_begin_node(fdt, "boot");
    fdt_property(fdt, "loadables", loadables, len);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
    return fdt_finish(fdt) ? 0 : fdt_totalsize(fdt);
}

size_t fit_gzip(const void *data, size_t len, void *out, size_t room)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)data,
                   .avail_in = (uInt)len,
                   .next_out = out,
                   .avail_out = (uInt)room };

    deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return z.total_out;
}
