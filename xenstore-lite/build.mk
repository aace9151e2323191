# SPDX-License-Identifier: MIT
$(eval $(call service_domain,store,$(wildcard xenstore-lite/*.c),-lz))
