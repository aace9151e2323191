// SPDX-License-Identifier: MIT
// LINK: hv/boot/cmdline.c
// The command line: every option, and that a malformed piece is reported by name while the rest applies.
#include "unit.h"
#include "shim.h"
#include <bulkhead.h>
#include "boot/boot.h"
#include "base/print.h"

static struct cmdline c;
static char said[8192];
static unsigned complaints;

static void report(const char *part, const char *why)
{
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s: %s\n", part, why);
    complaints++;
}
static void parse(const char *text)
{
    said[0] = 0;
    complaints = 0;
    cmdline_parse(&c, text, report);
}

TEST(defaults)
{
    parse("");
    assert_int_equal(complaints, 0);
    assert_int_equal(c.com1_port, 0x3f8);
    assert_int_equal(c.com1_baud, 115200);
    assert_false(c.noreboot || c.nosmap || c.nosmep || c.iommu_off);
    assert_int_equal(c.maxcpus, 0);
    assert_int_equal(c.loglvl, LOG_INFO);
    assert_int_equal(c.nr_hide, 0);
    assert_int_equal(c.ctl_mem, 64u << 20);
}

TEST(every_option)
{
    parse("  console=com1,vga com1=57600,8n1,0x2f8 noreboot loglvl=all/error maxcpus=3 iommu=off nosmap smep=0"
          " sched=rr sched_ratelimit_us=500 ctl_mem=96M  ");
    assert_string_equal(said, "");
    assert_int_equal(c.com1_baud, 57600);
    assert_int_equal(c.com1_port, 0x2f8);
    assert_true(c.noreboot && c.nosmap && c.nosmep && c.iommu_off);
    assert_int_equal(c.loglvl, LOG_DEBUG);
    assert_int_equal(c.maxcpus, 3);
    assert_int_equal(c.wake_preempt_us, 500);
    assert_int_equal(c.ctl_mem, 96u << 20);
    parse("console=com1,vga smap=off noreboot=no loglvl=none ctl_mem=131072 iommu=on smep=yes");
    assert_int_equal(complaints, 0);
    assert_true(c.nosmap && !c.noreboot && !c.iommu_off && !c.nosmep);
    assert_int_equal(c.loglvl, -1);
    assert_int_equal(c.ctl_mem, 128u << 20);
    assert_int_equal(c.rtc_offset, 0);
    parse("mem=1G badpage=0x12345,16-0x11 sync_console");
    assert_int_equal(complaints, 0);
    assert_true(c.mem == 1u << 30 && c.sync_console && c.nr_badpage == 2);
    assert_true(c.badpage[0].start == 0x12345000 && c.badpage[0].end == 0x12346000);
    assert_true(c.badpage[1].start == 0x10000 && c.badpage[1].end == 0x12000);
    parse("mem=4096 no-sync_console");
    assert_true(c.mem == 4 << 20 && !c.sync_console);
    parse("mem=4X badpage=x badpage=5-4 badpage=0xfffffffffffffff mem=0");
    assert_int_equal(complaints, 5);
    assert_true(!c.mem && !c.nr_badpage);
    complaints = 0;
    parse("watchdog watchdog_timeout=9");
    assert_non_null(strstr(said, "watchdog watchdog_timeout: Xen has it, it is not served here"));
    complaints = 0;
    parse("");
    assert_int_equal(c.conswitch, 1);
    parse("conswitch=q");
    assert_int_equal(c.conswitch, 'q' - 'a' + 1);
    parse("conswitch=Bx");
    assert_int_equal(c.conswitch, 2);
    parse("no-conswitch");
    assert_int_equal(c.conswitch, 0);
    parse("conswitch=`");
    assert_int_equal(c.conswitch, 0);
    assert_int_equal(complaints, 0);
    parse("conswitch=ab");
    assert_int_equal(c.conswitch, 1);
    assert_int_equal(complaints, 1);
    parse("rtc=+05:30");
    assert_int_equal(c.rtc_offset, 19800);
    parse("rtc=-03:00");
    assert_int_equal(c.rtc_offset, -10800);
    parse("rtc=+1 ");
    assert_int_equal(c.rtc_offset, 0);
}

TEST(bad_values_are_named)
{
    static const char *const bad[] = {
        "com1=fast",
        "com1=0",
        "com1=7",
        "com1=115200,7e1",
        "com1=9600,8n1,0x10000",
        "console=tv",
        "console=none",
        "console=vga",
        "loglvl=loud",
        "maxcpus=33",
        "maxcpus=",
        "maxcpus=-1",
        "iommu=maybe",
        "iommu=off,maybe",
        "sched=credit",
        "sched_ratelimit_us=1h",
        "ctl_mem=",
        "ctl_mem=1M",
        "ctl_mem=1T",
        "ctl_mem=64MB",
        "ctl_mem=99999999999999999999",
        "nosmap=2",
        "frobnicate",
        "frobnicate=1",
        "=",
        "pciback.hide",
        "pciback.hide=",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[128];
        snprintf(text, sizeof text, "%s noreboot", bad[i]);
        parse(text);
        assert_int_equal(complaints, 1);
        assert_ptr_equal(strstr(said, bad[i]), said);
        assert_true(c.noreboot);
    }
}

TEST(hide_takes_both_forms)
{
    parse("pciback.hide=(00:03.0)(0000:00:04.0)(1f:1f.7)(00ab:ff:00.1)(00:03.0)");
    assert_string_equal(said, "");
    assert_int_equal(c.nr_hide, 4);
    assert_int_equal(c.hide[0], BH_SBDF(0, 0, 3, 0));
    assert_int_equal(c.hide[1], BH_SBDF(0, 0, 4, 0));
    assert_int_equal(c.hide[2], BH_SBDF(0, 0x1f, 0x1f, 7));
    assert_int_equal(c.hide[3], BH_SBDF(0xab, 0xff, 0, 1));
    parse("xen-pciback.hide=(0a:0B.1)");
    assert_int_equal(c.hide[0], BH_SBDF(0, 10, 11, 1));
}

TEST(hide_reports_each_bad_piece)
{
    static const char *const bad[] = {
        "(zz:03.0)", "(00:20.0)",   "(00:03.8)",   "(100:03.0)", "(10000:00:03.0)",
        "(00:03)",   "(00.03:0)",   "()",          "(",          "00:05.0",
        "(00:03.0",  "(0:0:0:0.0)", "(00:03.0.0)", "(00:03.0 )", "(00:03.-1)",
        "(:03.0)",   "(00::3.0)",   "(00:*.0)",    "((00:03.0)", "(00:03.99999999999999999999)",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        char text[128];
        if (strchr(bad[i], ' '))
            continue;
        snprintf(text, sizeof text, "pciback.hide=(00:01.0)%s noreboot", bad[i]);
        parse(text);
        assert_true(complaints >= 1);
        assert_non_null(strstr(said, "pciback.hide="));
        assert_true(c.noreboot);
        assert_int_equal(c.hide[0], BH_SBDF(0, 0, 1, 0));
    }
    parse("pciback.hide=(00:01.0)(zz:03.0)(00:02.0)junk(00:04.0)");
    assert_int_equal(complaints, 2);
    assert_non_null(strstr(said, "(zz:03.0)"));
    assert_non_null(strstr(said, "junk"));
    assert_int_equal(c.nr_hide, 3);
}

TEST(hide_takes_stars)
{
    parse("xen_pciback.hide=(03:00.*)(0000:04:*.*)(03:00.0)(03:00.*)");
    assert_string_equal(said, "");
    assert_int_equal(c.nr_hide, 3);
    assert_true(c.hide[0] == BH_SBDF(0, 3, 0, 0) && c.hide_any[0] == 7);
    assert_true(c.hide[1] == BH_SBDF(0, 4, 0, 0) && c.hide_any[1] == 0xff);
    assert_true(c.hide[2] == BH_SBDF(0, 3, 0, 0) && c.hide_any[2] == 0);
    parse("pciback.hide=(*:00.0)(03:*)(03:*.1)(*)(03:00.**)(03:0*.0)(03:00.0*)(00:03.f)");
    assert_int_equal(c.nr_hide, 0);
    assert_int_equal(complaints, 8);
    assert_non_null(strstr(said, "(00:03.f): the function is 0 to 7"));
}

/* What GRUB's quoting, or an editor, leaves round the words. */
TEST(quotes_and_tabs)
{
    parse("com1=\\\"57600,8n1\\\"\t\"pciback.hide=\\\\(00:03.0\\\\)('00:05.0')\"\n'noreboot' \"maxcpus=2 loglvl=all\"");
    assert_string_equal(said, "");
    assert_int_equal(c.com1_baud, 57600);
    assert_int_equal(c.nr_hide, 2);
    assert_true(c.noreboot && c.maxcpus == 2 && c.loglvl == LOG_DEBUG);
    parse("it's noreboot");
    assert_string_equal(said, "its: unknown option\n");
    assert_true(c.noreboot);
}

TEST(no_before_a_boolean)
{
    parse("noreboot no-noreboot no-smap no-nosmep no-iommu");
    assert_string_equal(said, "");
    assert_true(!c.noreboot && c.nosmap && !c.nosmep && c.iommu_off);
    parse("no-frobs");
    assert_string_equal(said, "no-frobs: unknown option\n");
}

TEST(com1_as_the_manual_has_it)
{
    parse("com1=57600/1843200,8N1,0x2f8,4,1:2.3");
    assert_string_equal(said, "");
    assert_true(c.com1_baud == 57600 && c.com1_port == 0x2f8);
    parse("com1=auto,,760");
    assert_string_equal(said, "");
    assert_true(c.com1_baud == 0 && c.com1_port == 0x2f8);
    parse("com1=io-base=0x2e8,irq=4,parity=none,baud=9600,data-bits=8");
    assert_string_equal(said, "");
    assert_true(c.com1_baud == 9600 && c.com1_port == 0x2e8);
    parse("com1=9600,7e1,pci,4");
    assert_int_equal(complaints, 2);
    assert_true(c.com1_baud == 9600 && c.com1_port == 0x3f8);
    parse("com1=921600,8n1,0x2f8");
    assert_int_equal(complaints, 1);
    assert_true(c.com1_baud == 115200 && c.com1_port == 0x2f8);
}

TEST(iommu_is_a_list)
{
    parse("iommu=required,on");
    assert_string_equal(said, "");
    assert_true(c.iommu_required && !c.iommu_off);
    parse("iommu=verbose,off");
    assert_int_equal(complaints, 1);
    assert_true(!c.iommu_required && c.iommu_off);
}

/* A line for each reason, not one for each word; placeholder, which GRUB's script writes, is none. */
TEST(words_of_others)
{
    parse("placeholder dom0_mem=1G,max:1G ucode=scan dom0-mem=2G smt=off root=/dev/sda1 watchdog ro noreboot");
    assert_string_equal(
        said,
        "dom0_mem ucode: left from Xen, not needed here\n"
        "smt watchdog: Xen has it, it is not served here\nroot ro: for a Linux kernel, not used here\n");
    assert_true(c.noreboot);
    parse("placeholder");
    assert_string_equal(said, "");
}

/* A line of `len` characters that ends with `end`, and more behind it. */
static void parse_long(size_t len, const char *end)
{
    char text[2048];
    memset(text, ' ', sizeof text);
    memcpy(text, "noreboot", 8);
    memcpy(text + len - strlen(end), end, strlen(end));
    snprintf(text + len, sizeof text - len, "1)(00:05.0) maxcpus=3");
    parse(text);
}

TEST(a_line_too_long_is_cut_at_a_word)
{
    parse_long(1023, " pciback.hide=(00:03.0)(00:04.");
    assert_ptr_equal(strstr(said,
                            "pciback.hide=(00:03.0)(00:04.: the line is longer than 1023 characters"),
                     said);
    assert_int_equal(complaints, 1);
    assert_true(c.nr_hide == 1 && c.hide[0] == BH_SBDF(0, 0, 3, 0) && c.noreboot && !c.maxcpus);
    parse_long(1023, " maxcpus=1");
    assert_ptr_equal(strstr(said, "maxcpus=1: the line is longer"), said);
    assert_true(c.noreboot && !c.maxcpus);
    parse_long(1000, " maxcpus=1"); /* maxcpus=11)(00:05.0), whole */
    assert_non_null(strstr(said, "maxcpus=11)(00:05.0): not a number"));
    char fits[CMDLINE_MAX + 1];
    memset(fits, ' ', sizeof fits);
    snprintf(fits + CMDLINE_MAX - 9, 10, "maxcpus=3");
    parse(fits);
    assert_string_equal(said, "");
    assert_int_equal(c.maxcpus, 3);
}

TEST(hide_is_bounded)
{
    char text[1024] = "pciback.hide=";
    for (unsigned i = 0; i < 70; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "(%x:%x.0)", i / 8, i % 8);
    parse(text);
    assert_int_equal(c.nr_hide, 64);
    assert_int_equal(complaints, 6);
}

TEST(any_text_is_survived)
{
    static const char pieces[][20] = { "pciback.hide=",
                                       "(",
                                       ")",
                                       "00:03.0",
                                       ":",
                                       ".",
                                       " ",
                                       "=",
                                       "com1=",
                                       ",",
                                       "8n1",
                                       "loglvl=",
                                       "\xff",
                                       "maxcpus=",
                                       "9999999999999999999",
                                       "ctl_mem=",
                                       "0x",
                                       "G",
                                       "/",
                                       "*",
                                       "\"",
                                       "\t",
                                       "no-",
                                       "ucode",
                                       "smt",
                                       "console=",
                                       "io-base=",
                                       "(00:03.0)(00:04.0)" };
    srand(1);
    for (unsigned n = 0; n < 20000; n++) {
        char text[1500] = "";
        unsigned k = (unsigned)rand() % 60;
        while (k--)
            strcat(text, pieces[(unsigned)rand() % ARRAY_SIZE(pieces)]);
        parse(text);
        assert_true(c.nr_hide <= 64 && c.maxcpus <= MAX_CPUS && c.ctl_mem >= 8u << 20);
    }
}
