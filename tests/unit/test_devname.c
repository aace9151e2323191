// SPDX-License-Identifier: MIT
// LINK: domains/devname.c
// FLAGS: -Idomains/include
// Names of devices: what is one, to the digit, and what is none.
#include "unit.h"
#include <devname.h>

TEST(functions)
{
    static const char *const none[] = {
        "",
        "00:03",
        "0:03.0",
        "00:3.0",
        "00:03.",
        "00:03.8",
        "00:20.0",
        "00:03.00",
        "00:03.0 ",
        " 00:03.0",
        "00-03.0",
        "00:03:0",
        "0g:03.0",
        "000:00:03.0",
        "0000:00:03.8",
        "0000:00:20.0",
        "0000.00:03.0",
        "00000:00:03.0",
        "+000:00:03.0",
        "0000:00:03.x",
        "0x00:00:03.0",
    };
    char text[16];
    uint32_t sbdf;
    assert_true(pci_parse("00:03.0", &sbdf));
    assert_int_equal(sbdf, BH_SBDF(0, 0, 3, 0));
    assert_true(pci_parse("fFfF:fe:1f.7", &sbdf));
    assert_int_equal(sbdf, BH_SBDF(0xffffu, 0xfe, 0x1f, 7));
    snprintf(text, sizeof(text), PCI_FMT, PCI_ARGS(sbdf));
    assert_string_equal(text, "ffff:fe:1f.7");
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(pci_parse(none[i], &sbdf));
        assert_int_equal(sbdf, BH_SBDF(0xffffu, 0xfe, 0x1f, 7));
    }
}

TEST(stations)
{
    static const char *const none[] = { "",
                                        "00:16:3e:00:00",
                                        "00:16:3e:00:00:1",
                                        "00:16:3e:00:00:01:",
                                        "00:16:3e:00:00:01 ",
                                        "0:16:3e:00:00:01",
                                        "00-16-3e-00-00-01",
                                        "00:16:3e:00:00:0g",
                                        " 0:16:3e:00:00:01" };
    static const uint8_t want[6] = { 0, 0x16, 0x3e, 0xab, 0xcd, 0xef };
    uint8_t mac[6];
    char text[18];
    assert_true(mac_parse("00:16:3E:ab:cD:ef", mac));
    assert_memory_equal(mac, want, 6);
    snprintf(text, sizeof(text), MAC_FMT, MAC_ARGS(mac));
    assert_string_equal(text, "00:16:3e:ab:cd:ef");
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(mac_parse(none[i], mac));
}
