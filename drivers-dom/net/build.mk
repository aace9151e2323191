# SPDX-License-Identifier: MIT
# The net driver domain.
$(eval $(call service_domain,net,$(wildcard drivers-dom/net/*.c),,-Idrivers-dom/net))
