/* SPDX-License-Identifier: MIT */
/* lwIP's HTTP server (<lwip/apps/httpd_opts.h> says what each word means): GET alone, one page with headers of its own, eight connections. */
#pragma once
#define LWIP_HTTPD_SUPPORT_V09         0
#define LWIP_HTTPD_MAX_REQUEST_URI_LEN 63
#define HTTPD_USE_MEM_POOL             1
#define MEMP_NUM_PARALLEL_HTTPD_CONNS  8
#define HTTP_IS_DATA_VOLATILE(hs) \
    TCP_WRITE_FLAG_COPY /* the page may be gone before the peer has it */
