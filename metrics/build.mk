# SPDX-License-Identifier: MIT
# The domain that shows Prometheus what the machine counts: lwIP's own HTTP server with one page.
METRICS_HTTPD := $(LWIP)/src/apps/http/httpd.c
$(eval $(call lwip_domain,metrics,$(wildcard metrics/*.c) $(METRICS_HTTPD),-include metrics/httpd_conf.h))
$(METRICS_HTTPD): $(LWIP)/.done ;
$(call dom_objects,metrics,$(METRICS_HTTPD)): DOM_CFLAGS += -w
