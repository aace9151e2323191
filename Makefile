# SPDX-License-Identifier: MIT
# The one entry: make, make iso, make run, make test, make bench, make clean. Each folder's build.mk says how it is built.
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
ifndef V
.SILENT: # make V=1 shows the commands
endif
B     := build
CC    := gcc
LD    := ld
AR    := ar
OBJCOPY := objcopy

WARN  := -Wall -Wextra -Werror -Wshadow -Wvla -Wundef -Wimplicit-fallthrough -Wmissing-prototypes -Wstrict-prototypes
FREE  := -std=gnu11 -ffreestanding -fno-pic -fno-pie -fno-common -fno-asynchronous-unwind-tables -g -MMD -MP

all: components iso

-include hv/build.mk
-include domains/build.mk
-include xenstore-lite/build.mk
-include pciback/build.mk
-include drivers-dom/build.mk
-include ctl-dom/build.mk
-include tests/build.mk

# COMPONENTS: every ELF that goes on the ISO or into the bundle, filled by the build.mk files.
components: $(COMPONENTS)
iso: $(B)/bulkhead.iso

clean:
	rm -rf $(B)

.PHONY: all components iso run test unit bench clean
-include $(shell find $(B) -path $(B)/mutate -prune -o -name '*.d' -type f -print 2>/dev/null)
