# SPDX-License-Identifier: MIT
# Native unit tests: every tests/unit/test_*.c under ASan and UBSan. Its first ten lines may say
#   // LINK: hv/mem/frame.c ...     sources of the tree compiled into it
#   // FLAGS: -Isomewhere -DX=1 ... more flags (put before the usual include paths)
UNIT      := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN  := $(UNIT:tests/unit/%.c=$(B)/unit/%)
UNIT_WARN := $(filter-out -Wmissing-prototypes,$(WARN)) -Wno-unused-parameter
UNIT_INC  := -Itests/unit/shim -Itests/unit -Ihv -Ihv/abi/public -D__XEN_INTERFACE_VERSION__=0x00040e00

$(B)/unit/%: tests/unit/%.c tests/unit/shim/shim.c
	@mkdir -p $(@D)
	@link="$$(sed -n '1,10s,^// LINK:,,p' $<)"; flags="$$(sed -n '1,10s,^// FLAGS:,,p' $<)"; \
	echo "CC(native) $@"; \
	{ echo "$@: $$(echo $$link)"; for s in $$link; do echo "$$s:"; done; } > $@.link.d; \
	$(CC) -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    -DUNIT_TEST $(UNIT_WARN) $$flags $(UNIT_INC) -MMD -MP -MT $@ -o $@ $< $$link tests/unit/shim/shim.c -lcmocka

-include tests/system/hello/build.mk

unit: $(UNIT_BIN)
	tests/unit.sh $(UNIT_BIN)

test:
	tests/run.sh

run:
	tests/setup.sh
	$(MAKE) all disk
	tests/system/run-qemu.sh

.SECONDARY:

bench: all disk
	tests/setup.sh
	tests/bench/bench.py

measurements:
	tests/bench/figures.py
.PHONY: measurements

docs:
	docs/generate.py
.PHONY: docs
