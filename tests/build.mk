# SPDX-License-Identifier: MIT
# Native programs under ASan and UBSan: unit tests, attacks, and the probes of tests/cases. tests/native.py says how each is built.
UNIT_WARN := $(filter-out -Wmissing-prototypes,$(WARN)) -Wno-unused-parameter -Wno-format-truncation
HARNESS   := $(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)) $(wildcard tests/attacks/*/*_world.c)
NATIVE    := $(wildcard tests/unit/test_*.c tests/attacks/*/*.c tests/cases/probe/*.c)

$(B)/native.mk: tests/native.py tests/build.mk $(NATIVE) $(HARNESS) $(dir $(NATIVE))
	@mkdir -p $(@D)
	@tests/native.py > $@
-include $(B)/native.mk

# Looks into the core from outside: tests/lib/coreview.py.
$(B)/coreview: tests/lib/coreview.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) -std=gnu11 -O2 $(UNIT_WARN) -Itests/unit/shim $(HV_INC) -MMD -MP -o $@ $<
COMPONENTS += $(B)/coreview

-include tests/domains/build.mk
-include tests/system/hello/build.mk
-include tests/pvh/build.mk
-include tests/system/hlt-pair/build.mk
-include tests/bench/cost/build.mk
include tests/door/build.mk

unit: $(UNIT_BIN) ## native tests under sanitizers
	tests/unit.sh $(UNIT_BIN)
	tests/mutate/run.py --texts

attacks: $(ATTACK_BIN) ## programs that play a hostile domain
	tests/attacks.sh $(ATTACK_BIN)
.PHONY: attacks

cases: $(CASE_BIN) ## inputs that people bring
	tests/cases/run.py
.PHONY: cases

check-unused: components ## global symbols that only their own file uses, or nobody
	tests/unused.py
.PHONY: check-unused

# Which file uses which, against tests/layers.txt.
check-layers: components ## which file uses which, against tests/layers.txt
	tests/layers.py
.PHONY: check-layers

# What comments and documents name is in the tree.
check-references: ## what comments and documents name is there
	tests/references.py
.PHONY: check-references

test: ## all that is tested before anything is merged
	tests/run.sh

# The long forms: what takes more time than make test has. Last line as there.
test-long: ## hours: what make test has no time for
	tests/run-long.sh
.PHONY: test-long

chaos: all ## service domains die in 500 rounds (ROUNDS, SEED) while guests work
	tools/setup.sh
	ROUNDS=$(or $(ROUNDS),500) MINUTES=$(or $(MINUTES),120) tests/system/test_chaos.py chaos
.PHONY: chaos

run: ## the demonstration machine in QEMU
	tools/setup.sh
	$(MAKE) all disk
	tools/run-qemu.sh

.SECONDARY:

bench: all disk ## outages, round trips, disks: pictures in build/bench/
	tools/setup.sh
	tests/bench/bench.py

# Instructions of single operations, against committed figures.
cost: all ## instructions of single operations, against committed figures
	tools/setup.sh
	tests/bench/cost.py
.PHONY: cost

measurements: ## docs/measurements.md from the last bench
	tests/bench/figures.py
.PHONY: measurements

docs: ## the generated pages of docs/
	tools/docs.py
.PHONY: docs
