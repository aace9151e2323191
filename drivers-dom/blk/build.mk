# SPDX-License-Identifier: MIT
# A block driver domain.
$(eval $(call service_domain,blk,$(wildcard drivers-dom/blk/*.c),,-Idrivers-dom/blk))
