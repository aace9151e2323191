# SPDX-License-Identifier: MIT
$(B)/hello.elf: tests/system/hello/hello.S
	@mkdir -p $(@D)
	$(CC) -c -o $(@:.elf=.o) $<
	$(LD) -nostdlib -static --build-id=none -z noexecstack -z max-page-size=0x1000 --no-warn-rwx-segments \
	    -Ttext=0x100000 -e start -o $@ $(@:.elf=.o)
COMPONENTS += $(B)/hello.elf
