# SPDX-License-Identifier: MIT
# The PCI back-end domain.
$(eval $(call service_domain,pciback,$(wildcard pciback/*.c)))
