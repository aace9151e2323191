# SPDX-License-Identifier: MIT
# A block driver domain.
$(eval $(call driver_domain,blk))
