# SPDX-License-Identifier: MIT
# The net driver domain.
$(eval $(call driver_domain,net))
