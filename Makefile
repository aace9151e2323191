# SPDX-License-Identifier: MIT
# The one entry: `make help` lists the targets. Each folder's build.mk says how it is built.
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

all: components iso ## everything, into build/

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(filter-out %.d,$(MAKEFILE_LIST))

-include hv/build.mk
-include domains/build.mk
-include domains/lwip/build.mk
-include xenstore-lite/build.mk
-include pciback/build.mk
-include metrics/build.mk
-include drivers-dom/build.mk
-include ctl-dom/build.mk
-include tests/build.mk

# COMPONENTS: every ELF that goes on the ISO or into the bundle, filled by the build.mk files.
components: $(COMPONENTS)
iso: $(B)/bulkhead.iso ## build/bulkhead.iso: BIOS and UEFI

# Where a person who changes something looks first: some two minutes once everything is built. `make test` and the commit hook do all of it.
CHECKS := check-format check-layers check-unused check-references check-docs unit
check: $(CHECKS) ## before each commit: layers, unused symbols, references, generated pages, layout, unit tests
which-checks:
	@echo $(CHECKS)
format: ## lays out all C as .clang-format says
	tools/format.sh
check-format:
	tools/format.sh --check
check-docs:
	tools/docs.py --check
hooks: ## from now on git does `make check` before each commit
	git config core.hooksPath tools/hooks

clean: ## removes build/
	rm -rf $(B)

.PHONY: all help components iso check which-checks format check-format check-docs hooks run test unit bench clean
-include $(shell find $(B) -path $(B)/mutate -prune -o -name '*.d' -type f -print 2>/dev/null)
