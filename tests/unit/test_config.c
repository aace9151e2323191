/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/config/config.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/config_pci.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c domains/devname.c ctl-dom/config/config_disk.c ctl-dom/config/config_vif.c ctl-dom/shell/split.c
// FLAGS: -Idomains/include -Ictl-dom -luuid
/* xl's configuration syntax: values, errors with file and line, overrides, words of the shell. */
#include <errno.h>
#include "unit.h"
#include "config/config.h"
#include "config/settings.h"
#include "shell/split.h"

static struct domcfg cfg;
static struct findings found;
static char err[256];

static int parse(const char *text)
{
    /* A copy without the NUL, so that the sanitizer sees a read past the end. */
    size_t len = strlen(text);
    char *copy = malloc(len + !len);
    memcpy(copy, text, len);
    err[0] = '\0';
    int rc = config_read(&cfg, "x.cfg", copy, len, 0, NULL, &found);
    if (rc)
        findings_first(&found, err, sizeof(err));
    free(copy);
    return rc;
}

TEST(whole_file)
{
    assert_int_equal(parse("# a guest\n"
                           "name = \"debian\"   # its name\n"
                           "uuid = '8e3f5bd0-1C2a-4b0e-9d7f-001122334455'\n"
                           "kernel='debian-kernel'; memory = 256\n"
                           "vcpus=0x2\nlocaltime=1\nrtc_timeoffset=-3600\n"
                           "vif = [ 'mac=00:16:3e:00:00:01,bridge=net0',\n"
                           "        \"backend=net1\", ]\n"
                           "pci=['00:03.0', '0001:02:1f.7']\n"
                           "on_crash = 'preserve'\n"
                           "extra = \"console=hvc0 quiet # not a comment\"\n"
                           "autostart = 1"),
                     0);
    assert_string_equal(cfg.name, "debian");
    assert_string_equal(cfg.kernel, "debian-kernel");
    assert_int_equal(cfg.uuid[0], 0x8e);
    assert_int_equal(cfg.rtc_timeoffset, -3600);
    assert_true(cfg.localtime);
    assert_int_equal(cfg.uuid[15], 0x55);
    assert_int_equal(cfg.memory_mb, 256);
    assert_int_equal(cfg.vcpus, 2);
    assert_int_equal(cfg.nr_vifs, 2);
    assert_int_equal(cfg.vif[0].mac[2], 0x3e);
    assert_string_equal(cfg.vif[0].bridge, "net0");
    assert_false(cfg.vif[1].has_mac);
    assert_string_equal(cfg.vif[1].backend, "net1");
    assert_int_equal(cfg.nr_pci, 2);
    assert_int_equal(cfg.pci[0], BH_SBDF(0, 0, 3, 0));
    assert_int_equal(cfg.pci[1], BH_SBDF(1, 2, 0x1f, 7));
    assert_int_equal(cfg.on_crash, ACTION_PRESERVE);
    assert_int_equal(cfg.on_reboot, ACTION_RESTART);
    assert_string_equal(cfg.cmdline, "console=hvc0 quiet # not a comment");
    assert_true(cfg.autostart);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
    assert_int_equal(parse(""), 0);
    assert_int_equal(parse("vif=[]"), 0);
    assert_int_equal(cfg.nr_vifs, 0);
}

TEST(errors_name_the_place)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "name=\"a\"\n\ncolour = \"red\"\n", "x.cfg:3: unknown key 'colour'" },
        { "memory = lots", "x.cfg:1: memory: 'lots' is no number" },
        { "memory = [ 1 ]", "x.cfg:1: memory: expected one value, not a list" },
        { "memory = -1", "x.cfg:1: memory: '-1' is no number" },
        { "vcpus = 0", "x.cfg:1: vcpus: 0 is not between 1 and 32" },
        { "vcpus = 33", "x.cfg:1: vcpus: 33 is not between 1 and 32" },
        { "memory = 99999999999999999999",
          "x.cfg:1: memory: 18446744073709551615 is not between 1 and 1048576" },
        { "name = \"a", "x.cfg:1: name: the closing quote is missing" },
        { "name = 'a\nb'", "x.cfg:1: name: the closing quote is missing" },
        { "name = \"a b\"", "x.cfg:1: name: 'a b' has a character that is not allowed" },
        { "\nvif = [ 'mac=00:16:3e:00:00'\n ]",
          "x.cfg:2: vif: mac '00:16:3e:00:00' is no address (aa:bb:cc:dd:ee:ff)" },
        { "vif = [ 'mac=01:16:3e:00:00:01' ]",
          "x.cfg:1: vif: mac '01:16:3e:00:00:01' is the address of a group, not of one station" },
        { "vif = [ 'mac=00:00:00:00:00:00' ]",
          "x.cfg:1: vif: mac '00:00:00:00:00:00' is no station's address" },
        { "kernel = \"/boot/vmlinuz-6.1.0-13-amd64\"",
          "x.cfg:1: kernel: '/boot/vmlinuz-6.1.0-13-amd64' is a path: images come from the boot bundle, by their names there" },
        { "rtc_timeoffset = 1h", "x.cfg:1: rtc_timeoffset: '1h' is no number" },
        { "rtc_timeoffset = --1", "x.cfg:1: rtc_timeoffset: '-1' is no number" },
        { "localtime = 2", "x.cfg:1: localtime: 2 is not between 0 and 1" },
        { "uuid = \"12345678\"",
          "x.cfg:1: uuid: '12345678' is none (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)" },
        { "uuid = '00000000-0000-0000-0000-000000000000'",
          "x.cfg:1: uuid: '00000000-0000-0000-0000-000000000000' is none (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)" },
        { "name = '16'", "x.cfg:1: name: '16' is a number, as domains have besides their names" },
        { "name = Domain-0", "x.cfg:1: name: 'Domain-0' means the control domain elsewhere" },
        { "vif = [ 'bridge=a,mac=00:16:3e:00:00:01,bridge=b' ]",
          "x.cfg:1: vif: bridge is there twice" },
        { "vif = [ 'mac=00:16:3e:00:00:01,mac=00:16:3e:00:00:02' ]",
          "x.cfg:1: vif: mac is there twice" },
        { "vif = [ 'speed=3' ]", "x.cfg:1: vif: unknown option 'speed'" },
        { "vif = [ 'bridge' ]", "x.cfg:1: vif: expected option=value, got 'bridge'" },
        { "vif = [ 'bridge=a'", "x.cfg:1: vif: the closing ] is missing" },
        { "vif = [ 'bridge=a' 'b' ]", "x.cfg:1: vif: expected , or ]" },
        { "pci = [ '00:20.0' ]",
          "x.cfg:1: pci: bad device '00:20.0' (bus:slot.function or domain:bus:slot.function, a * for all functions)" },
        { "disk = [ 'phy:/dev/a,xvda,w' ]",
          "x.cfg:1: disk: target '/dev/a' is a path of a host: DOMAIN:VOLUME here, as blk0:data1" },
        { "on_crash = 'soft-reset'", "x.cfg:1: on_crash: soft-reset is for on_soft_reset here" },
        { "on_crash = 'rename-restart'",
          "x.cfg:1: on_crash: rename-restart is not here: restart does, `crashes` has what there was to say" },
        { "autostart = 100", "x.cfg:1: autostart: 100 is not between 0 and 99" },
        { "disk = [ 'phy:blk0:a' ]", "x.cfg:1: disk: 'phy:blk0:a': vdev is missing" },
        { "disk = [ 'vdev=xvda' ]", "x.cfg:1: disk: 'vdev=xvda': target is missing" },
        { "disk = [ 'phy:blk0:a,vda,w' ]",
          "x.cfg:1: disk: bad vdev 'vda' (xvda, xvdb1, sda, hda ...)" },
        { "disk = [ 'phy:blk0:a,xvda,x' ]", "x.cfg:1: disk: bad access 'x' (r, w, r! or w!)" },
        { "disk = [ 'phy:blk0:a,xvda,w,w' ]", "x.cfg:1: disk: 'w' is one word too many" },
        { "disk = [ 'file:/a,xvda,w' ]",
          "x.cfg:1: disk: the prefix 'file:' is for a Linux that serves disks: backend= says which" },
        { "disk = [ 'nbd:10.0.0.1:10809,xvda,w' ]",
          "x.cfg:1: disk: the prefix 'nbd:' is for a Linux that serves disks: backend= says which" },
        { "disk = [ 'file:a.img,xvda,w,backend=stordd' ]", "x.cfg:1: disk: file 'a.img' is no path" },
        { "disk = [ 'vhd:/a.vhd,xvda,w,backend=stordd' ]",
          "x.cfg:1: disk: the prefix 'vhd:' is not supported, only phy:" },
        { "disk = [ 'blk0:a,qcow2,xvda,w' ]",
          "x.cfg:1: disk: format 'qcow2' is not supported, only raw" },
        { "disk = [ 'vdev=xvda,backendtype=qdisk,target=blk0:a' ]",
          "x.cfg:1: disk: backendtype 'qdisk' is not supported, only phy" },
        { "disk = [ 'phy:blk0:a,xvda,w,script=block-x' ]",
          "x.cfg:1: disk: script 'block-x' is not supported: volumes are there without one" },
        { "disk = [ 'phy:blk0:a,xvda,w,cdrom' ]",
          "x.cfg:1: disk: 'cdrom' is not supported, only plain disks" },
        { "disk = [ 'phy:blk0:a,xvda,w,limit-ops=fast' ]",
          "x.cfg:1: disk: bad limit-ops 'fast' (a number a second, as 500 or 10M)" },
        { "disk = [ 'phy:blk0:a,xvda,w,limit-bytes=-1' ]",
          "x.cfg:1: disk: bad limit-bytes '-1' (a number a second, as 500 or 10M)" },
        { "disk = [ 'phy:blk0:a,xvda,w,colour=red' ]", "x.cfg:1: disk: unknown option 'colour'" },
        { "disk = [ 'phy:blk0:a,xvda,w', 'phy:blk0:b,xvda,w' ]",
          "x.cfg:1: disk: vdev xvda is there twice" },
        { "disk = [ 'phy:blk0:a,xvda,w', 'phy:blk0:b,d0,w' ]",
          "x.cfg:1: disk: vdev xvda is there twice" },
        { "disk = [ 'phy:blk0:a,xvda,r,target=blk0:b' ]",
          "x.cfg:1: disk: two targets, 'blk0:a' and 'blk0:b'" },
        { "disk = [ 'phy:blk0:a,xvda,r,access=w' ]", "x.cfg:1: disk: two accesses, 'r' and 'w'" },
        { "disk = [ 'phy:blk0:a,xvda,r,vdev=xvdb' ]", "x.cfg:1: disk: two vdevs, 'xvda' and 'xvdb'" },
        { "disk = [ 'phy:blk0:a,xvda,r,limit-ops=0,limit-bytes=5,limit-ops=5' ]",
          "x.cfg:1: disk: limit-ops is there twice" },
        { "disk = [ 'phy:blk0:a,xvda,r,limit-bytes=5,limit-bytes=5M' ]",
          "x.cfg:1: disk: limit-bytes is there twice" },
        { "disk = [ 'phy:blk0:a,xvda,r,discard,no-discard' ]",
          "x.cfg:1: disk: discard and no-discard" },
        { "disk = [ 'vdev=xvda,access=,target=blk0:a' ]",
          "x.cfg:1: disk: bad access '' (r, w, r! or w!)" },
        { "disk = [ 'vdev=xvda,target=blk0:a,access=r' ]",
          "x.cfg:1: disk: target= must be the last word, 'blk0:a,access=r' would all be the volume's name" },
        { "disk = [ 'backend=blk1,vdev=xvda,target=blk0:a' ]",
          "x.cfg:1: disk: two back-end domains, 'blk1' and 'blk0'" },
        { "on_crash = 'explode'", "x.cfg:1: on_crash: unknown value 'explode'" },
        { "role = 'control'", "x.cfg:1: role: unknown value 'control'" },
        { "type = 'hvm'", "x.cfg:1: type: 'hvm' is not here: guests are PVH" },
        { "name", "x.cfg:1: expected = after 'name'" },
        { "= 3", "x.cfg:1: expected key = value at '= 3'" },
        { "memory = 3 4", "x.cfg:1: memory: unexpected text after the value" },
        { "memory =", "x.cfg:1: memory: a value is missing" },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(parse(bad[i].text) < 0);
        assert_string_equal(err, bad[i].error);
    }
}

TEST(disks)
{
    static const struct {
        const char *spec, *backend, *volume, *vdev, *mode;
        uint32_t devid;
        bool no_discard;
    } good[] = {
        { "phy:blk0:data1,xvda,w", "blk0", "data1", "xvda", "w", 51712, false },
        { "phy:blk0:data1,xvdb1,r", "blk0", "data1", "xvdb1", "r", 51729, false },
        { " phy:blk0:1,xvdp15 ,w! ", "blk0", "1", "xvdp15", "w!", 51967, false },
        { "blk1:3,raw,sda,ro", "blk1", "3", "sda", "r", 2048, false },
        { "blk1:3,,sdb2", "blk1", "3", "sdb2", "w", 2066, false },
        { "phy:blk0:a,hda,rw", "blk0", "a", "hda", "w", 768, false },
        { "phy:blk0:a,hdd3,r!", "blk0", "a", "hdd3", "r!", 5699, false },
        { "phy:blk0:a,xvdq,w", "blk0", "a", "xvdq", "w", (1u << 28) + 4096, false },
        { "phy:blk0:a,xvdaa,w", "blk0", "a", "xvdaa", "w", (1u << 28) + 6656, false },
        { "phy:blk0:a,xvda16,w", "blk0", "a", "xvda16", "w", (1u << 28) + 16, false },
        { "format=raw, vdev=xvdc, access=ro, backendtype=phy, no-discard, target=blk0:a", "blk0",
          "a", "xvdc", "r", 51744, true },
        { "backend=blk2,vdev=xvda,direct-io-safe,target=root", "blk2", "root", "xvda", "w", 51712,
          false },
        { "phy:blk0:disk,xvda,,discard", "blk0", "disk", "xvda", "w", 51712, false },
    };
    struct cfg_disk d;
    uint32_t devid;

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        err[0] = '\0';
        int rc = config_disk(&d, good[i].spec, err, sizeof(err));
        assert_string_equal(err, "");
        assert_int_equal(rc, 0);
        assert_string_equal(d.backend, good[i].backend);
        assert_string_equal(d.volume, good[i].volume);
        assert_string_equal(d.vdev, good[i].vdev);
        assert_string_equal(d.mode, good[i].mode);
        assert_int_equal(d.devid, good[i].devid);
        assert_int_equal(d.no_discard, good[i].no_discard);
        assert_int_equal(d.kind, DISK_VOLUME);
    }
    static const char *const bad[] = { "",           "xvd",         "xvda0",  "xvda01", "xvda256",
                                       "sdq",        "sda16",       "hde",    "hda64",  "xvdzzzzz",
                                       "xvdaaaaaa",  "d",           "d0p",    "d01",    "d0x1",
                                       "0",          "0x",          "0xca0g", "053",    "268435456",
                                       "4294967296", "0x10000ca00", "xvdA",   "x",      "xvda 1",
                                       "a" };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(config_vdev(bad[i], &devid));
    /* Every number has one name at most, and the name is that number. */
    char name[CFG_VDEV];
    for (uint32_t id = 0; id < 1u << 16; id++) {
        uint32_t back = ~id;
        if (config_vdev_name(id, name))
            assert_true(config_vdev(name, &back) && back == id);
    }
    assert_true(config_vdev_name((1u << 28) + (0xfffffu << 8) + 255, name) &&
                config_vdev(name, &devid));
    assert_int_equal(devid, (1u << 28) + (0xfffffu << 8) + 255);
    assert_false(config_vdev_name(2u << 28, name) || config_vdev_name(~0u, name) ||
                 config_vdev_name(0, name));
    assert_true(config_vdev("d0", &devid) && devid == 51712);
    assert_true(config_vdev("d26p3", &devid) && devid == (1u << 28) + (26 << 8) + 3);
    assert_true(config_vdev("0xCA01", &devid) && devid == 51713);
    assert_int_equal(config_disk(&d, "phy:blk0:a,xvda,w,limit-ops=500,limit-bytes=10M", err,
                                 sizeof(err)),
                     0);
    assert_int_equal(d.limit_ops, 500);
    assert_int_equal(d.limit_bytes, 10 << 20);
    uint64_t v = 7;
    assert_true(config_amount("0", &v) && v == 0);
    assert_true(config_amount("2K", &v) && v == 2048);
    assert_true(config_amount("3G", &v) && v == 3ull << 30);
    static const char *const amounts[] = {
        "", "K", "-1", "+1", " 1", "1k", "1KB", "1.5M", "1 M", "18446744073709551615", "1152921504606846976K"
    };
    for (unsigned i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
        assert_false(config_amount(amounts[i], &v));
    static const char *const empty[] = { "phy:blk0:,xvda,w", "phy:blk0: ,xvda,w",
                                         "vdev=xvda,backend=blk0,target=blk0:", "blk0:,raw,xvda,w" };
    for (unsigned i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        assert_int_equal(config_disk(&d, empty[i], err, sizeof(err)), -EINVAL);
        assert_non_null(strstr(err, "no volume in"));
    }
    assert_int_equal(parse("disk = [ 'phy:blk0:a,xvda,w',\n 'phy:blk0:b,xvdb,r' ]"), 0);
    assert_int_equal(cfg.nr_disks, 2);
}

/* What a Linux serves: a path or words of NBD, and a back-end that is named. */
TEST(disks_of_a_linux)
{
    static const struct {
        const char *spec, *volume;
        enum disk_kind kind;
    } good[] = {
        { "phy:/dev/vg/lv,xvda,w,backend=stordd", "/dev/vg/lv", DISK_PHY },
        { "phy:stordd:/dev/vg/lv,xvda,w", "/dev/vg/lv", DISK_PHY },
        { "backend=stordd,vdev=xvda,access=w,target=/dev/sda:1", "/dev/sda:1", DISK_PHY },
        { "file:/vols/a.img,xvda,w,backend=stordd", "/vols/a.img", DISK_FILE },
        { "aio:stordd:/vols/a.img,xvda", "/vols/a.img", DISK_FILE },
        { "nbd:10.0.0.9:10809:a,xvda,w,backend=stordd,script=block", "10.0.0.9:10809:a", DISK_NBD },
        { "backend=stordd,vdev=xvda,script=block-nbd,target=10.0.0.9:10809", "10.0.0.9:10809",
          DISK_NBD },
    };
    struct cfg_disk d;

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        err[0] = '\0';
        int rc = config_disk(&d, good[i].spec, err, sizeof(err));
        assert_string_equal(err, "");
        assert_int_equal(rc, 0);
        assert_string_equal(d.backend, "stordd");
        assert_string_equal(d.volume, good[i].volume);
        assert_string_equal(d.mode, "w");
        assert_int_equal(d.kind, good[i].kind);
    }
}

TEST(bridges)
{
    static const char net[] =
        "name = 'net0'\nmemory = 6\nrole = 'driver'\nimage = 'net'\npci = [ '00:03.0', '0000:00:04.0' ]\n";
    static const struct {
        const char *list, *why;
    } bad[] = {
        { "''", "bridges: '' is no name of a bridge" },
        { "'=00:03.0'", "bridges: '' is no name of a bridge" },
        { "'a b'", "bridges: 'a b' is no name of a bridge" },
        { "'br.10'", "bridges: 'br.10' is no name of a bridge" },
        { "'br:10'", "bridges: 'br:10' is no name of a bridge" },
        { "'br0,x'", "bridges: 'br0,x' is no name of a bridge" },
        { "'12'", "bridges: '12' is no name of a bridge" },
        { "'abcdefghijklmnopqrstuvwxyz012345'",
          "bridges: 'abcdefghijklmnopqrstuvwxyz012345' is no name of a bridge (at most 31 of: letters, "
          "digits, _ - . and no number, nor a dot and a number at its end)" },
        { "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "at its end)" },
        { "'a=00:03'",
          "bridges: a: bad device '00:03' (bus:slot.function or domain:bus:slot.function)" },
        { "'a='", "bridges: a: bad device ''" },
        { "'a', 'b', 'a'", "bridges: a is there twice" },
        { "'a=00:03.0', 'b', 'c=0000:00:03.0'", "bridges: a and c have the same device" },
        { "'a', 'b', 'c', 'd', 'e'", "bridges: more than 4" },
    };
    static const struct {
        const char *more, *why;
    } wrong[] = {
        { "bridges = [ 'a=00:05.0' ]", "x.cfg: bridges: a: its device is not in pci" },
        { "bridges = [ 'a=00:03.0' ]\npci = [ '00:04.0' ]",
          "x.cfg: bridges: a: its device is not in pci" },
        { "bridges = [ 'a', 'net0' ]",
          "x.cfg: bridges: net0, the domain's own name, means the first one" },
        { "bridges = [ 'a' ]\nimage = 'blk'", "x.cfg: bridges: a net driver domain has them" },
        { "bridges = [ 'a' ]\nrole = 'guest'", "x.cfg: bridges: a net driver domain has them" },
    };
    char text[400];

    snprintf(text, sizeof(text),
             "%sbridges = [ 'xenbr0=00:03.0', 'br.a_-=0000:00:04.0', 'inside' ]", net);
    assert_int_equal(parse(text), 0);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
    assert_int_equal(cfg.nr_bridges, 3);
    assert_string_equal(cfg.bridge[1].name, "br.a_-");
    assert_true(cfg.bridge[1].wire && cfg.bridge[1].sbdf == 0x20 && !cfg.bridge[2].wire);
    assert_int_equal(config_override(&cfg, "bridges=['net0']", err, sizeof(err)), 0);
    assert_int_equal(cfg.nr_bridges, 1);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
    assert_int_equal(config_override(&cfg, "bridges=[]", err, sizeof(err)), 0);
    assert_int_equal(cfg.nr_bridges, 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "bridges = [ %s ]", bad[i].list);
        assert_true(parse(text) < 0);
        assert_non_null(strstr(err, bad[i].why));
    }
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", net, wrong[i].more);
        assert_int_equal(parse(text), 0);
        assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), -EINVAL);
        assert_memory_equal(err, wrong[i].why, strlen(wrong[i].why));
    }
}

/* --- vif= --- */
static int one_vif(struct cfg_vif *v, const char *spec)
{
    char text[256];

    snprintf(text, sizeof(text), "%s", spec);
    return config_vif(v, text, err, sizeof(err));
}

TEST(vifs)
{
    struct cfg_vif v;
    static const struct {
        const char *spec, *why;
    } bad[] = {
        { "mac=00:16:3e:0:0", "mac '00:16:3e:0:0' is no address (aa:bb:cc:dd:ee:ff)" },
        { "bridge=net0.0", "bridge: VLAN 0 is not between 1 and 4094" },
        { "bridge=net0.4095", "bridge: VLAN 4095 is not between 1 and 4094" },
        { "bridge=net0:10:", "bridge: '' is no list of VLANs (1 to 4094, colons between them)" },
        { "bridge=net0:1x", "bridge: '1x' is no list of VLANs (1 to 4094, colons between them)" },
        { "bridge=net0:1:2:3:4:5:6:7:8:9", "bridge: more than 8 VLANs in a trunk" },
        { "bridge=.5", "bad bridge ''" },
        { "ip=", "ip: no address" },
        { "ip=10.0.0", "ip '10.0.0' is no address, and no prefix of one" },
        { "ip=10.0.0.256", "ip '10.0.0.256' is no address, and no prefix of one" },
        { "ip=10.0.0.1/33", "ip '10.0.0.1/33' is no address, and no prefix of one" },
        { "ip=10.0.0.1.", "ip '10.0.0.1.' is no address, and no prefix of one" },
        { "ip=1::2::3", "ip '1::2::3' is no address, and no prefix of one" },
        { "ip=1:2:3:4:5:6:7", "ip '1:2:3:4:5:6:7' is no address, and no prefix of one" },
        { "ip=1:2:3:4:5:6:7:8:9", "ip '1:2:3:4:5:6:7:8:9' is no address, and no prefix of one" },
        { "ip=::1/129", "ip '::1/129' is no address, and no prefix of one" },
        { "ip=1 2", "ip '1' is no address, and no prefix of one" },
        { "ip=10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6",
          "ip: more than 5 addresses (a prefix, as 10.0.0.0/24, stands for many)" },
        { "allow=", "allow: no address" },
        { "allow=01:00:5e:00:00:01",
          "allow: '01:00:5e:00:00:01' is the address of a group, not of one station" },
        { "allow=any,ip=10.0.0.1", "allow=any and ip= say two things" },
        { "rate=10", "rate '10' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=10Mb", "rate '10Mb' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=0Mb/s", "rate '0Mb/s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=-1Mb/s", "rate '-1Mb/s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=1MB/s@0s", "rate '1MB/s@0s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=1MB/s@20", "rate '1MB/s@20' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=1MB/s@20msx", "rate '1MB/s@20msx' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=100b/s", "rate '100b/s' is less than 1KB/s" },
        { "rate=1001GB/s", "rate '1001GB/s' is more than 1000GB/s" },
        { "rate=1KMb/s", "rate '1KMb/s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "rate=99999999999Gb/s", "rate '99999999999Gb/s' is none (as 10Mb/s, 250KB/s, 1MB/s@20ms)" },
        { "mtu=67", "mtu '67' is not between 68 and 65535" },
        { "mtu=9000x", "mtu '9000x' is not between 68 and 65535" },
        { "bridge=a,bridge=b", "bridge is there twice" },
        { "rate=1Mb/s,rate=2Mb/s", "rate is there twice" },
        { "bridge", "expected option=value, got 'bridge'" },
        { "gatway=1", "unknown option 'gatway'" },
    };
    static const struct {
        const char *spec;
        uint64_t rate;
        unsigned us;
    } rates[] = { { "rate=10Mb/s", 1250000, 50000 },     { "rate=250KB/s", 250000, 50000 },
                  { "rate=1MB/s@20ms", 1000000, 20000 }, { "rate=1Gb/s@500us", 125000000, 500 },
                  { "rate=8000b/s", 1000, 50000 },       { "rate=2GB/s@1s", 2000000000, 1000000 } };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(one_vif(&v, bad[i].spec), -EINVAL);
        assert_string_equal(err, bad[i].why);
    }
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        assert_int_equal(one_vif(&v, rates[i].spec), 0);
        assert_int_equal(v.rate, rates[i].rate);
        assert_int_equal(v.rate_us, rates[i].us);
    }
    assert_int_equal(one_vif(&v,
                             "mac=00:16:3E:00:00:01, bridge=xen.br0.30:10:20,allow=00:00:5e:00:01:0a"),
                     0);
    assert_string_equal(v.bridge, "xen.br0");
    assert_true(v.slot.vlan == 30 && v.slot.trunk[0] == 10 && v.slot.trunk[1] == 20 &&
                !v.slot.trunk[2]);
    assert_true(v.has_mac && !v.any && v.slot.other[0][5] == 10);
    assert_int_equal(one_vif(&v, " mac = 00:16:3e:00:00:01 ,\tbridge\t= br.a , "), 0);
    assert_true(v.has_mac && !strcmp(v.bridge, "br.a"));
    assert_int_equal(one_vif(&v, "bridge=br.a"), 0);
    assert_string_equal(v.bridge, "br.a");
    assert_int_equal(one_vif(&v, "allow=any"), 0);
    assert_true(v.any);
    assert_int_equal(one_vif(&v, "ip= 10.1.2.3  10.0.0.0/8 2001:DB8::7 ::/0 ::ffff:1.2.3.4"), 0);
    assert_int_equal(v.slot.nr_ips, 5);
    static const struct slot_ip ips[] = { { { [10] = 255, 255, 10, 1, 2, 3 }, 128 },
                                          { { [10] = 255, 255, 10 }, 104 },
                                          { { 0x20, 1, 0xd, 0xb8, [15] = 7 }, 128 },
                                          { { 0 }, 0 },
                                          { { [10] = 255, 255, 1, 2, 3, 4 }, 128 } };
    assert_memory_equal(v.slot.ip, ips, sizeof(ips));
    assert_int_equal(one_vif(&v, "ip=1:2:3:4:5:6:7:8/64 fe80::"), 0);
    assert_true(v.slot.ip[0].addr[15] == 8 && v.slot.ip[0].bits == 64 && v.slot.ip[1].addr[0] == 0xfe);
}

TEST(cpus)
{
    static const struct {
        const char *value, *text;
        uint32_t of[3];
    } good[] = {
        { "'all'", "all", { ~0u, ~0u, ~0u } },
        { "2", "2", { 4, 4, 4 } },
        { "'0-3,^1'", "0-3,^1", { 13, 13, 13 } },
        { "' 0 , 5-6 '", " 0 , 5-6 ", { 0x61, 0x61, 0x61 } },
        { "'^0'", "^0", { ~1u, ~1u, ~1u } },
        { "'all,^31'", "all,^31", { ~0u >> 1, ~0u >> 1, ~0u >> 1 } },
        { "[ '2', '3-8,^5' ]", "2;3-8,^5", { 4, 0x1d8, ~0u } },
        { "[ '2' ]", "2;", { 4, ~0u, ~0u } },
        { "[]", "", { ~0u, ~0u, ~0u } },
    };
    static const struct {
        const char *value, *why;
    } bad[] = {
        { "''", "cpus: '' is no CPU" },
        { "'a'", "cpus: 'a' is no CPU and no range of them (all, 0-3,^1)" },
        { "'3-1'", "cpus: '3-1' is no CPU" },
        { "'1,'", "cpus: '' is no CPU" },
        { "'0-'", "cpus: '0-' is no CPU" },
        { "'32'", "cpus: CPU 32 is beyond 31" },
        { "'4294967297'", "cpus: '4294967297' is no CPU" },
        { "'1,^1'", "cpus: '1,^1' leaves no CPU" },
        { "'node:0'", "cpus: 'node:0': NUMA nodes are not known here" },
        { "[ '1;2' ]", "cpus: '1;2' is no CPU" },
        { "[ '1', '' ]", "cpus: '' is no CPU" },
        { "'0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,10'",
          "cpus: longer than 128 characters" },
    };
    char text[300];
    uint32_t set;

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "cpus = %s", good[i].value);
        assert_int_equal(parse(text), 0);
        assert_string_equal(cfg.cpus, good[i].text);
        for (unsigned v = 0; v < 3; v++) {
            assert_int_equal(config_cpus(cfg.cpus, v, &set, err, sizeof(err)), 0);
            assert_int_equal(set, good[i].of[v]);
        }
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "cpus = %s", bad[i].value);
        assert_true(parse(text) < 0);
        assert_non_null(strstr(err, bad[i].why));
    }
}

TEST(shares_and_limits)
{
    static const char guest[] = "name = 'a'\nkernel = 'k'\nmemory = 64\nvcpus = 2\n";
    char text[300];
    static const struct {
        const char *more, *why;
    } bad[] = {
        { "maxmem = 63", "maxmem is less than memory" },
        { "maxvcpus = 1", "maxvcpus is less than vcpus" },
    };

    assert_int_equal(parse(guest), 0);
    assert_true(!cfg.maxmem_mb && !cfg.maxvcpus && cfg.cpu_weight == 256 && !cfg.cap);
    snprintf(text, sizeof(text), "%smaxmem = 128\nmaxvcpus = 4\ncpu_weight = 512\ncap = 150\n",
             guest);
    assert_int_equal(parse(text), 0);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
    assert_true(cfg.maxmem_mb == 128 && cfg.maxvcpus == 4 && cfg.cpu_weight == 512 && cfg.cap == 150);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", guest, bad[i].more);
        assert_int_equal(parse(text), 0);
        assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), -EINVAL);
        assert_non_null(strstr(err, bad[i].why));
    }
    assert_true(parse("cpu_weight = 0") < 0 && parse("cpu_weight = 65536") < 0 &&
                parse("cap = 3201") < 0);
}

/* --- the syntax --- */
/* All that is said of it, a line each. */
static char said[8192];
static const char *all(const char *text, size_t len, int nr_words, char *const *words)
{
    char *copy = malloc(len + !len);

    memcpy(copy, text, len);
    (void)config_read(&cfg, "x.cfg", copy, len, nr_words, words, &found);
    free(copy);
    said[0] = '\0';
    for (unsigned i = 0; i < found.n; i++)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s\n",
                 found.at[i].error ? "" : "note ", found.at[i].text);
    return said;
}
static const char *of(const char *text) { return all(text, strlen(text), 0, NULL); }

TEST(texts)
{
    static const struct {
        const char *text, *extra;
    } good[] = {
        { "extra = \"a \\\"b\\\" 'c'\"", "a \"b\" 'c'" },
        { "extra = 'it\\'s \"x\" '", "it's \"x\" " },
        { "extra = \"C:\\\\x\\t.\\a\\b\\f\\v\\r\"", "C:\\x\t.\a\b\f\v\r" },
        { "extra = \"a\"\nextra += \" b\"\nextra+=' c'", "a b c" },
        { "extra += 'a'", "a" },
        { "extra = 'a' # b\r\n# c\r\nmemory = 1\r\n", "a" },
        { "\xef\xbb\xbf"
          "extra = 'a'\r\n",
          "a" },
        { "# G\xc3\xa4ste\n# B\xfcro\nextra = '\xc3\xa4'", "\xc3\xa4" },
        { "extra = 'a';memory=3;", "a" },
        { "n = 4\nextra = 'vm%02d-%s.%x%%' % (n * 3 + 1, \"a\", 255)", "vm13-a.ff%" },
        { "n = 4\nextra = '%d' % n", "4" },
        { "extra = 'a' + \"b\" + 3", "ab3" },
        { "n = 'x'\nextra = n", "x" },
        { "extra = '%d' % (7 % 4) + '%d' % (2 - 5)", "3-3" },
        { "extra = '%d' % (-7 % 4) + '%d' % (-8 % 4)", "10" },
        { "extra = -9223372036854775808 % 5", "2" },
        { "extra = -9223372036854775808 % 9223372036854775807", "9223372036854775806" },
        { "extra = ( 'a'\n + 'b' )", "ab" },
        { "extra = '%5s|%3d' % ('ab', 7)", "   ab|  7" },
        { "extra = a-b/c:d.e", "a-b/c:d.e" },
    };
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "extra = 'a\\q'",
          "x.cfg:1: extra: \\q in a text: a backslash is \\\\ there, and \\\" \\' \\a \\b \\f \\n \\r \\t \\v stand for what they do in C\n" },
        { "extra = 'a\\'", "x.cfg:1: extra: the closing quote is missing\n" },
        { "vif = [ 'bridge=a' ]\nvif += 'b'", "x.cfg:2: vif: += a text, where it is a list\n" },
        { "extra = 'a'\nextra += [ 'b' ]", "x.cfg:2: extra: += a list, where it is a text\n" },
        { "vif = [ [ 'bridge=a' ] ]", "x.cfg:1: vif: an entry is a list itself\n" },
        { "vif = [ [ [ [ [ [ [ [ [ ] ] ] ] ] ] ] ] ]",
          "x.cfg:1: vif: more than 8 brackets in each other\n" },
        { "memory\xc2\xa0= 1", "x.cfg:1: a no-break space (U+00A0) after 'memory'\n" },
        { "memory = \xe2\x80\x9c"
          "1",
          "x.cfg:1: memory: a curly quote (U+201C) where a value is expected\n" },
        { "memory = 1 \xe2\x80\x93",
          "x.cfg:1: memory: a dash that is no - (U+2013) after the value\n" },
        { "\fmemory = 1", "x.cfg:1: a form feed where a key is expected\n" },
        { "memory = 1\n\xe4 = 2",
          "x.cfg:2: a byte 0xe4, which is no UTF-8 where a key is expected\n" },
        { "memory = 1\nname = 'a'\rvcpus = 2",
          "x.cfg:2: name: a carriage return without a line feed after the value\n" },
        { "memory = 1\rvcpus = 2",
          "x.cfg:1: its lines end in a carriage return without a line feed\n" },
        { "extra = 'a' \\\n 'b'",
          "x.cfg:1: extra: a backslash after the value: a line does not go on behind it, a text in brackets or a += does\n"
          "x.cfg:2: expected key = value at ''b''\n" },
        { "extra = 'a' 'b'", "x.cfg:1: extra: unexpected text after the value: + joins texts\n" },
        { "extra = 'vm%d' % vmid",
          "x.cfg:1: extra: vmid has no value: give vmid=... on the command line\n" },
        { "extra = 'vm%d' % 'a'", "x.cfg:1: extra: 'a' is no number, for %d\n" },
        { "extra = 'vm%d'  % (1, 2)",
          "x.cfg:1: extra: more values behind the % than the text has places\n" },
        { "extra = 'vm%d%d' % 1",
          "x.cfg:1: extra: the text has more places than there are values behind the %\n" },
        { "extra = '%n' % 1",
          "x.cfg:1: extra: %n in a text before a %: only %d %i %u %x %X %s %% are known\n" },
        { "extra = '%99999d' % 1",
          "x.cfg:1: extra: %99999d in a text before a %: only %d %i %u %x %X %s %% are known\n" },
        { "memory = 3 % 0", "x.cfg:1: memory: 3 % 0 has no result here\n" },
        { "memory = 4611686018427387904 * 2",
          "x.cfg:1: memory: 4611686018427387904 * 2 has no result here\n" },
        { "memory = 'a' * 2", "x.cfg:1: memory: 'a' * '2' are not two numbers\n" },
        { "memory = (1", "x.cfg:1: memory: the closing ) is missing\n" },
        { "vif = [ 'bridge=a' ]\nextra = vif", "x.cfg:2: extra: vif is a list\n" },
        { "import os\nfrom a import b\nx = os.uname()[4]\ndef f(x):\n  memory = 1\n",
          "x.cfg:1: 'import': this is Python, which is not run here, only settings are read\n"
          "x.cfg:2: 'from': this is Python, which is not run here, only settings are read\n"
          "x.cfg:3: x: os.uname(: Python is not run here\n"
          "x.cfg:4: 'def': this is Python, which is not run here, only settings are read\n" },
        { "memory = 'lots'\nvif = [ 'bridge=a', 'b c',\n 'd' ]\ncolour = 1\nvcpus = [",
          "x.cfg:1: memory: 'lots' is no number\nx.cfg:2: vif: expected option=value, got 'b c'\n"
          "x.cfg:3: vif: expected option=value, got 'd'\nx.cfg:4: unknown key 'colour'\n"
          "x.cfg:5: vcpus: the closing ] is missing\n" },
        { "vif = [ 'a', $\n 'b=c',\nmemory = 0\n",
          "x.cfg:1: vif: a value is missing\nx.cfg:3: memory: 0 is not between 1 and 1048576\n" },
        { "memory = 010", "note x.cfg:1: memory: 010 is octal, for 8\n" },
        { "memory = 1\n\nmemory = 2", "note x.cfg:3: memory: line 1 has it too, this one counts\n" },
        { "vnuma = [ [ 'a', 'b' ], [] ]\nkeymap = 'de'\n",
          "note x.cfg: passed over, they do nothing here: vnuma, keymap\n" },
        { "usbdev = [ 'x' ]", "x.cfg:1: usbdev: a USB controller is given by pci= here\n" },
        { "builder = 'hvm'", "x.cfg:1: builder: 'hvm' is not here: guests are PVH\n" },
        { "builder = 'generic'", "" },
        { "restart = 'sometimes'",
          "x.cfg:1: restart: 'sometimes' is none of always, onreboot, never\n" },
        { "name = control", "x.cfg:1: name: 'control' means the control domain\n" },
    };
    static const char utf16[] = "\xff\xfen\0a\0", utf16_plain[] = "n\0a\0m\0e\0",
                      nul[] = "memory = 1\nextra = 'a\0b'\nvcpus = 2";

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(of(good[i].text), "");
        assert_string_equal(cfg.cmdline, good[i].extra);
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(of(bad[i].text), bad[i].error);
    assert_string_equal(all(utf16, sizeof(utf16) - 1, 0, NULL),
                        "x.cfg:1: the file is UTF-16: it has to be saved as UTF-8\n");
    assert_string_equal(all(utf16_plain, sizeof(utf16_plain) - 1, 0, NULL),
                        "x.cfg:1: the file is UTF-16: it has to be saved as UTF-8\n");
    assert_string_equal(all(nul, sizeof(nul) - 1, 0, NULL), "x.cfg:2: extra: a NUL byte\n");
    assert_int_equal(cfg.vcpus, 2);

    /* What grows has an end. */
    static char grows[SETTINGS_BYTES / 4];
    snprintf(grows, sizeof(grows), "a = 'aaaaaaaaaaaaaaaa'\n");
    for (unsigned i = 0; i < 9; i++)
        strcat(grows, "a += a\n");
    assert_non_null(strstr(of(grows), "x.cfg:9: a: longer than 4095 characters\n"));
    grows[0] = '\0';
    for (unsigned i = 0; i < SETTINGS_MAX + 1; i++)
        snprintf(grows + strlen(grows), 32, "a%u = 1\n", i);
    assert_int_equal(found.n, 2);
    of(grows);
    assert_int_equal(found.n, FINDINGS);
    assert_int_equal(found.errors, SETTINGS_MAX + 1);
    assert_int_equal(found.left, SETTINGS_MAX + 1 - FINDINGS);
    strcpy(grows, "extra = 'x'");
    for (size_t len = strlen(grows); len + 60 < 65536; len = strlen(grows))
        strcat(grows + len, "+'%64d'%1");
    assert_non_null(strstr(of(grows), "longer than"));
}

TEST(words_of_create)
{
    static const char file[] =
        "first = 4\nname = 'VM%d' % vmid\nextra = 'a'\nmemory = 64\n"
        "disk = [ 'phy:blk0:disk%d,sda1,w' % (first + vmid) ]\npci = [ '00:05.0' ]\n";
    static char *const number[] = { "vmid=3" };
    static char *const several[] = { "vmid=3", "name=\"c9\"; memory=32", "pci=03:00.0",
                                     "pci=04:02.0", "extra+= b c" };
    static char *const blanks[] = { "vmid=3", "extra=a b; c", "first=1" };
    static char *const wrong[] = { "NAME=x", "vmid=1", "memory=", "plain" };

    assert_string_equal(all(file, sizeof(file) - 1, 1, number), "");
    assert_string_equal(cfg.name, "VM3");
    assert_string_equal(cfg.disk[0].volume, "disk7");
    assert_string_equal(all(file, sizeof(file) - 1, 5, several), "");
    assert_string_equal(cfg.name, "c9");
    assert_int_equal(cfg.memory_mb, 32);
    assert_int_equal(cfg.nr_pci, 2);
    assert_int_equal(cfg.pci[1], 0x410);
    assert_string_equal(cfg.cmdline, "a b c");
    assert_string_equal(all(file, sizeof(file) - 1, 3, blanks), "");
    assert_string_equal(cfg.cmdline, "a b; c");
    assert_string_equal(cfg.disk[0].volume, "disk4"); /* the word counts, not the file */
    assert_string_equal(
        all(file, sizeof(file) - 1, 4, wrong),
        "plain: expected key=value\nNAME=x: unknown key 'NAME'\nmemory=: memory: '' is no number\n");
}

TEST(command_lines)
{
    static const struct {
        const char *text, *line;
    } good[] = {
        { "dhcp='dhcp'\nnetmask='255.255.255.0'\ngateway='10.0.2.2'\nhostname='vm1'\nnfs_server='10.0.2.9'\n"
          "nfs_root='/export/vm1'\nroot='/dev/sda1 ro'\nextra='4'",
          "ip=:10.0.2.9:10.0.2.2:255.255.255.0:vm1:eth0:dhcp nfsroot=10.0.2.9:/export/vm1 root=/dev/sda1 ro 4" },
        { "ip='10.0.0.1'\ninterface='eth1'", "ip=10.0.0.1:::::eth1:off" },
        { "dhcp='off'\nroot='/dev/xvda'", "root=/dev/xvda" },
        { "root='/dev/xvda'\nextra='ro'", "root=/dev/xvda ro" },
        { "cmdline='ro'", "ro" },
        { "name='a'", "" },
    };
    static char *const extra[] = { "extra=single" }, *const whole[] = { "cmdline=quiet" };

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(of(good[i].text), "");
        assert_string_equal(cfg.cmdline, good[i].line);
    }
    assert_string_equal(of("cmdline='a'\nroot='b'"),
                        "note x.cfg:1: cmdline: is the whole, root and extra beside it do not count\n");
    assert_string_equal(cfg.cmdline, "a");
    all("cmdline='a'\nroot='b'", 20, 1, extra);
    assert_string_equal(cfg.cmdline, "root=b single");
    all("extra='a'\nroot='b'", 18, 1, whole);
    assert_string_equal(cfg.cmdline, "quiet");
    assert_string_equal(of("nfs_root='/a'"), "x.cfg:1: nfs_root: nfs_server is missing\n");
    assert_true(config_override(&cfg, "root=/dev/xvda", err, sizeof(err)) < 0);
    assert_string_equal(
        err,
        "root=/dev/xvda: root: is a part of the command line, and extra is the whole of it here");
    char text[1200];
    snprintf(text, sizeof(text), "root='b'\nextra='%01020d'", 1);
    assert_string_equal(
        of(text),
        "x.cfg:2: extra: with its other parts the command line is longer than there is room for\n");
    assert_int_equal(parse("restart='always'"), 0);
    assert_true(cfg.on_crash == ACTION_RESTART && cfg.on_poweroff == ACTION_RESTART);
    assert_int_equal(parse("restart='onreboot'"), 0);
    assert_true(cfg.on_crash == ACTION_DESTROY && cfg.on_reboot == ACTION_RESTART);
}

TEST(what_happens_to_the_ended)
{
    assert_int_equal(parse(""), 0);
    assert_true(cfg.on_watchdog == ACTION_DESTROY && cfg.on_soft_reset == ACTION_SOFT_RESET);
    assert_int_equal(parse("on_crash = 'coredump-restart'"), 0);
    assert_true(cfg.on_crash == ACTION_RESTART && cfg.on_watchdog == ACTION_RESTART);
    assert_int_equal(
        parse("on_crash = 'restart'\non_watchdog = 'coredump-destroy'\non_soft_reset = 'preserve'"),
        0);
    assert_true(cfg.on_watchdog == ACTION_DESTROY && cfg.on_soft_reset == ACTION_PRESERVE);
}

TEST(devices)
{
    static const struct {
        const char *spec;
        uint32_t sbdf;
        bool all;
        const char *said;
        unsigned vslot;
        bool permissive;
    } good[] = {
        { "03:00.0", 0x300, false, "", 0, false },
        { "3:0.1", 0x301, false, "", 0, false },
        { "0:3:0.0", 0x300, false, "", 0, false },
        { "12ab:AF:1F.7", 0x12abafff, false, "", 0, false },
        { "03:00.*", 0x300, true, "", 0, false },
        { "03:00.0@5", 0x300, false, "", 5, false },
        { "bdf=03:00.0,vslot=1f", 0x300, false, "", 0x1f, false },
        { "bdf=03:00.0", 0x300, false, "", 0, false },
        { " bdf = 03:00.* , permissive = 0", 0x300, true, "", 0, false },
        { "permissive=0,bdf=03:00.0", 0x300, false, "", 0, false },
        { "3:0.0@1e,permissive=1,rdm_policy=strict,seize=0", 0x300, false,
          "3:0.0@1e,permissive=1,rdm_policy=strict,: passed over, it does nothing here: rdm_policy",
          0x1e, true },
    };
    static const struct {
        const char *spec, *why;
    } bad[] = {
        { "", "bad device ''" },
        { "03:00", "bad device '03:00'" },
        { "03_00.0", "bad device '03_00.0'" },
        { "03:00.8", "bad device '03:00.8'" },
        { "03:20.0", "bad device" },
        { "03:00.0-3", "bad device" },
        { "00003:00:00.0", "bad device" },
        { "03:00.0@20", "bad slot in '03:00.0@20'" },
        { "03:00.0@", "bad slot in" },
        { "03:00.0@0", "bad slot in '03:00.0@0' (1 to 1f; 0 is the host bridge's)" },
        { "03:00.0,vslot=20", "bad vslot '20'" },
        { "03:00.0,permissive", "expected option=value, got 'permissive'" },
        { "03:00.0,permissive=2", "permissive '2' is neither 0 nor 1" },
        { "03:00.0,rdm_policy=x", "rdm_policy 'x' is neither strict nor relaxed" },
        { "03:00.0,bogus=1", "unknown option 'bogus'" },
        { "name=nic0", "'name=nic0' names no device (bdf=bus:slot.function)" },
    };
    struct cfg_pci d;

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(config_pci(&d, good[i].spec, err, sizeof(err)), 0);
        assert_string_equal(err, good[i].said);
        assert_int_equal(d.sbdf, good[i].sbdf);
        assert_int_equal(d.all, good[i].all);
        assert_int_equal(d.vslot, good[i].vslot);
        assert_int_equal(d.permissive, good[i].permissive);
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(config_pci(&d, bad[i].spec, err, sizeof(err)), -EINVAL);
        assert_memory_equal(err, bad[i].why, strlen(bad[i].why));
    }
    assert_int_equal(parse("pci = [ '03:00.0', '04:00.*' ]"), 0);
    assert_true(cfg.nr_pci == 2 && cfg.pci_all == 2);
    assert_null(config_pci_said(&cfg, 0x300));
    assert_int_equal(parse("pci = [ '03:00.0,permissive=1', '04:00.*@7', '05:00.0' ]"), 0);
    assert_true(config_pci_said(&cfg, 0x300)->permissive && !config_pci_said(&cfg, 0x300)->vslot);
    assert_int_equal(config_pci_said(&cfg, 0x405)->vslot, 7);
    assert_true(!config_pci_said(&cfg, 0x301) && !config_pci_said(&cfg, 0x500) &&
                !config_pci_said(&cfg, 0));
    /* pci-attach has such words, too: they come to what is there, or in the place of it. */
    config_pci_say(&cfg, &(struct cfg_pci){ .sbdf = 0x500 });
    assert_null(config_pci_said(&cfg, 0x500));
    config_pci_say(&cfg, &(struct cfg_pci){ .sbdf = 0x500, .permissive = true });
    config_pci_say(&cfg, &(struct cfg_pci){ .sbdf = 0x300, .vslot = 9 });
    assert_true(config_pci_said(&cfg, 0x500)->permissive);
    assert_true(config_pci_said(&cfg, 0x300)->vslot == 9 && !config_pci_said(&cfg, 0x300)->permissive);
    assert_int_equal(config_pci_said(&cfg, 0x405)->vslot, 7);
    struct cfg_pci was = config_pci_say(&cfg, &(struct cfg_pci){ .sbdf = 0x500 });
    assert_null(config_pci_said(&cfg, 0x500));
    was = config_pci_say(&cfg, &was);
    assert_true(config_pci_said(&cfg, 0x500)->permissive && !was.permissive && was.sbdf == 0x500);
    assert_int_equal(config_override(&cfg, "pci=['03:00.0']", err, sizeof(err)), 0);
    assert_null(config_pci_said(&cfg, 0x300));
    assert_int_equal(parse("pci = [ '03:00.*' ]\nbridges = [ 'a=03:00.1' ]\nrole = 'driver'\nimage = 'net'\n"
                           "name = 'n'\nmemory = 8"),
                     0);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
}

TEST(passed_over)
{
    struct cfg_vif v;
    struct cfg_disk d;
    static const struct {
        const char *spec, *why;
    } bad[] = {
        { "devid=3", "devid is not here: interfaces are numbered as they stand in vif" },
        { "vlan=10p/20", "vlan is not here: bridge=NAME.VLAN and bridge=NAME:TRUNK:TRUNK are" },
        { "type=hvm", "unknown option 'type'" },
        { "trusted=2", "trusted '2' is neither 0 nor 1" },
    };

    assert_int_equal(one_vif(&v, "bridge=net0,script=vif-bridge,vifname=a.0,model=e1000,type=ioemu"),
                     0);
    assert_string_equal(err, "passed over, it does nothing here: script, vifname, model, type");
    assert_int_equal(one_vif(&v, "bridge=net0,untrusted"), 0);
    assert_true(!*err && v.untrusted);
    assert_int_equal(one_vif(&v, "trusted=1"), 0);
    assert_false(v.untrusted);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(one_vif(&v, bad[i].spec), -EINVAL);
        assert_string_equal(err, bad[i].why);
    }
    assert_string_equal(of("vif = [ 'model=e1000' ]\npci = [ '3:0.0@5,seize=1' ]"),
                        "note x.cfg:1: vif: passed over, it does nothing here: model\n"
                        "note x.cfg:2: pci: 3:0.0@5,seize=1: passed over, it does nothing here: seize\n");
    assert_string_equal(
        of("pci = [ '3:0.0@5' ]\nrole = 'driver'"),
        "note x.cfg: pci: vslot and permissive do nothing for a service domain, which asks the core\n");
    assert_int_equal(config_disk(&d, "phy:data1,xvda,w,untrusted", err, sizeof(err)), 0);
    assert_true(!d.backend[0] && !strcmp(d.volume, "data1") && d.untrusted);
}

TEST(overrides)
{
    assert_int_equal(parse("name='a'\nkernel='k'\nmemory=64\nvif=['bridge=net0']\n"), 0);
    assert_int_equal(config_override(&cfg, "memory=512", err, sizeof(err)), 0);
    assert_int_equal(cfg.memory_mb, 512);
    assert_int_equal(config_override(&cfg, "extra=a b c", err, sizeof(err)), 0);
    assert_string_equal(cfg.cmdline, "a b c");
    assert_int_equal(config_override(&cfg, "extra=\"d e\"", err, sizeof(err)), 0);
    assert_string_equal(cfg.cmdline, "d e");
    assert_int_equal(config_override(&cfg, "vif=[]", err, sizeof(err)), 0);
    assert_int_equal(cfg.nr_vifs, 0);
    assert_int_equal(config_override(&cfg, "pci=['00:04.0']", err, sizeof(err)), 0);
    assert_int_equal(cfg.nr_pci, 1);
    assert_true(config_override(&cfg, "colour=red", err, sizeof(err)) < 0);
    assert_string_equal(err, "colour=red: unknown key 'colour'");
    assert_true(config_override(&cfg, "name='", err, sizeof(err)) < 0);
    assert_true(config_override(&cfg, "=3", err, sizeof(err)) < 0);
    char many[1000] = "vif=[";
    for (unsigned i = 0; i < 17; i++)
        strcat(many, "'mac=00:16:3e:00:00:01,bridge=net0',");
    strcat(many, "]");
    assert_true(config_override(&cfg, many, err, sizeof(err)) < 0);
    assert_string_equal(
        err,
        "vif=['mac=00:16:3e:00:00:01,bridge=net0','mac=00:16:3e:00:00...: vif: more than 16 entries");
    assert_true(config_override(&cfg, "plain", err, sizeof(err)) < 0);
    static char longest[1100] = "extra=";
    memset(longest + 6, 'x', 1023);
    assert_int_equal(config_override(&cfg, longest, err, sizeof(err)), 0);
    assert_int_equal(strlen(cfg.cmdline), 1023);
    longest[6 + 1023] = 'x'; /* cut, it would be another one */
    assert_true(config_override(&cfg, longest, err, sizeof(err)) < 0);
    static const char nul[] = "extra = \"root=/dev/xvda\0ro\"";
    assert_true(config_read(&cfg, "x.cfg", nul, sizeof(nul) - 1, 0, NULL, &found) < 0);
    assert_string_equal(found.at[0].text, "x.cfg:1: extra: a NUL byte");
    assert_true(config_override(&cfg, "vif=['a=b'", err, sizeof(err)) < 0);
}

TEST(checks)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "kernel='k'\nmemory=64", "x.cfg: name is missing" },
        { "name='a'\nkernel='k'", "x.cfg: memory is missing" },
        { "name='a'\nmemory=64",
          "x.cfg: kernel (of a guest) or image (of a service domain) is missing" },
        { "name='a'\nmemory=64\nkernel='k'\nimage='i'", "x.cfg: kernel and image exclude each other" },
        { "name='a'\nmemory=4\nimage='i'\nvcpus=2", "x.cfg: a service domain has one vCPU" },
        { "name='a'\nmemory=4\nimage='i'\nkeep=2",
          "x.cfg: keep pages are for the roles driver, pciback and store" },
        { "name='a'\nmemory=4\nimage='i'\nmtu=9000",
          "x.cfg: mtu is for the role driver; a guest's is a word of vif" },
        { "name='a'\nmemory=8\nimage='i'\nrole='driver'\ndriver_domain=1",
          "x.cfg: driver_domain is for a guest: the role driver serves without" },
        { "name='a'\nmemory=2\nimage='i'\nrole='driver'\nkeep=2",
          "x.cfg: keep pages leave no room for the program" },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i].text), 0);
        assert_true(config_check(&cfg, "x.cfg", err, sizeof(err)) < 0);
        assert_string_equal(err, bad[i].error);
    }
}

/* No input may read or write out of bounds, whatever it says. */
TEST(garbage)
{
    static const char bits[] = "name=\"'[], \n;#vifpci:03.0mac=\\\t\r0x+%()*%ds-\xc2\xa0";
    struct cfg_disk d;
    char text[400];

    srand(7);
    for (unsigned round = 0; round < 20000; round++) {
        unsigned len = (unsigned)rand() % (sizeof(text) - 1);
        for (unsigned i = 0; i < len; i++)
            text[i] = bits[(unsigned)rand() % (sizeof(bits) - 1)];
        text[len] = '\0';
        parse(text);
        config_override(&cfg, text, err, sizeof(err));
        char *word[] = { text + len / 3, text + len / 2 };
        all("a = 1\nname = 'x%d' % n\n", 24, 2, word);
        config_disk(&d, text + len / 2, err, sizeof(err));
        struct cfg_vif v;
        static const char *const keys[] = { "ip=", "rate=", "bridge=", "allow=" };
        static const char vif[] = "0123456789abcf:./:: ,KMGbBs@u";
        char spec[64];
        unsigned at = (unsigned)snprintf(spec, sizeof(spec), "%s", keys[round % 4]),
                 n = at + (unsigned)rand() % 50;
        for (; at < n; at++)
            spec[at] = vif[(unsigned)rand() % (sizeof(vif) - 1)];
        spec[at] = '\0';
        config_vif(&v, spec, err, sizeof(err));
        text[len % 8] = '\0';
        uint32_t devid;
        config_vdev(text, &devid);
    }
}

TEST(words)
{
    char *argv[4];
    const char *why = "";
    char a[] = "  create  debian extra=\"a b\" vif=['x=1', 'y=2'] ";
    assert_int_equal(shell_split(a, argv, 4, &why), 4);
    assert_string_equal(argv[0], "create");
    assert_string_equal(argv[2], "extra=\"a b\"");
    assert_string_equal(argv[3], "vif=['x=1', 'y=2']");
    char b[] = "'a b' \"\" c";
    assert_int_equal(shell_split(b, argv, 4, &why), 3);
    assert_string_equal(argv[0], "a b");
    assert_string_equal(argv[1], "");
    char c[] = "name='";
    assert_int_equal(shell_split(c, argv, 4, &why), -1);
    assert_string_equal(why, "the closing quote is missing");
    char d[] = "vif=[";
    assert_int_equal(shell_split(d, argv, 4, &why), -1);
    char e[] = "a b c d e";
    assert_int_equal(shell_split(e, argv, 4, &why), -1);
    char f[] = "   ";
    assert_int_equal(shell_split(f, argv, 4, &why), 0);
}

#define VNET "name='vnet97'\nrole='driver'\nimage='vnet'\nmemory=9\nvnet=97\nvif=['bridge=net0']\n"
TEST(vnets)
{
    static const struct {
        const char *more, *why;
    } bad[] = {
        { "", "ip: a vnet has an address of its own" },
        { "ip='10.0.0'", "ip: a vnet has" },
        { "ip='10.0.0.010/24'", "ip: a vnet has" },
        { "ip='10.0.0.2/33'", "ip: a vnet has" },
        { "ip='10.0.0.2/0'", "ip: a vnet has" },
        { "ip='10.0.0.2 deadline=0'", "ip: a vnet has" },
        { "ip='10.0.0.2'\ndhcp=1", "ip: a vnet has" },
        { "ip='10.0.0.2'\ngateway='x'", "gateway: is no address" },
        { "ip='10.0.0.2'\ngateway='10.0.0.1/24'", "gateway: is no address" },
        { "ip='10.0.0.2'\npeers='10.0.0.3 x=1'", "peers: addresses" },
        { "ip='10.0.0.2'\npeers='10.0.0.3,'", "peers: addresses" },
        { "ip='10.0.0.2'\npeers='10.0.0.256'", "peers: addresses" },
        { "ip='10.0.0.2'\npeers='anyone'", "peers: addresses" },
        { "ip='10.0.0.2'\ngroup='10.0.0.3'", "group: is no address of a group" },
        { "ip='10.0.0.2'\ngroup='239.1.1.1,239.1.1.2'", "group: is no address of a group" },
        { "ip='10.0.0.2'\npeers='fd00::3'", "of one kind with ip" },
        { "ip='fd00::2'\npeers='any,10.0.0.3'", "of one kind with ip" },
        { "ip='fd00::2'\npeers='::ffff:10.0.0.3'", "peers: addresses" },
        { "ip='fd00::2/48'", "ip: a vnet has" },
        { "ip='fd00::2::1'", "ip: a vnet has" },
        { "ip='fd00::2 x=1'", "ip: a vnet has" },
        { "ip='fd00::2'\ngateway='10.0.0.1'", "of one kind with ip" },
        { "ip='fd00::2'\ngroup='239.1.1.1'", "group: is IPv4's" },
        { "ip='10.0.0.2'\ngateway='fd00::1'", "of one kind with ip" },
        { "ip='10.0.0.2'\nport=0", "port: is none" },
        { "ip='10.0.0.2'\nport=65536", "port: is none" },
        { "vnet=0\nip='10.0.0.2'", "vnet: " },
        { "vnet=16777216\nip='10.0.0.2'", "vnet: " },
    };
    static const struct {
        const char *more, *why;
    } wrong[] = {
        { "vnet=98", "x.cfg: name: the domain of vnet 98 is called vnet98" },
        { "image='net'", "x.cfg: vnet: is for a vnet domain" },
        { "vif=[]", "x.cfg: vif: a vnet has one" },
        { "vif=['','']", "x.cfg: vif: a vnet has one" },
        { "bridges=['a']", "x.cfg: bridges: a net driver domain has them" },
    };
    char text[600];

    assert_int_equal(parse(VNET "ip='10.0.0.2/24'\ngateway='10.0.0.1'\npeers='10.0.0.3,any,10.0.0.4'\n"
                                "group='239.1.1.1'\nport=8472\nmtu=1500\nextra='deadline=0'"),
                     0);
    assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), 0);
    assert_int_equal(cfg.vnet, 97);
    assert_string_equal(cfg.cmdline, "vnet=97 ip=10.0.0.2/24 gw=10.0.0.1 peers=10.0.0.3,any,10.0.0.4 "
                                     "group=239.1.1.1 port=8472 deadline=0");
    assert_int_equal(parse(VNET "dhcp=1"), 0);
    assert_string_equal(cfg.cmdline, "vnet=97 dhcp=1");
    assert_int_equal(parse(VNET "ip='fd00::2/64'\ngateway='fd00::1'\npeers='fd00::3,any,fd00::1:4'"),
                     0);
    assert_string_equal(cfg.cmdline, "vnet=97 ip6=fd00::2 gw6=fd00::1 peers=fd00::3,any,fd00::1:4");
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", VNET, bad[i].more);
        assert_true(parse(text) < 0);
        if (!strstr(err, bad[i].why))
            fail_msg("%s says '%s'", bad[i].more, err);
    }
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "%sip='10.0.0.2'\n%s", VNET, wrong[i].more);
        assert_int_equal(parse(text), 0);
        assert_int_equal(config_check(&cfg, "x.cfg", err, sizeof(err)), -EINVAL);
        assert_memory_equal(err, wrong[i].why, strlen(wrong[i].why));
    }
    assert_true(parse("name='a'\npeers='10.0.0.1'") < 0);
    assert_non_null(strstr(err, "peers, group and port are for a vnet"));
    assert_int_equal(parse("vif=['vnet=97,mac=00:16:3e:00:00:05']"), 0);
    assert_string_equal(cfg.vif[0].bridge, "vnet97");
    static const char *const no[] = { "vnet=0",
                                      "vnet=97x",
                                      "vnet=16777216",
                                      "vnet=97,bridge=net0",
                                      "bridge=net0,vnet=97",
                                      "backend=net0,vnet=97",
                                      "vnet=97,backend=net0" };
    for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        snprintf(text, sizeof(text), "vif=['%s']", no[i]);
        assert_true(parse(text) < 0);
        assert_non_null(strstr(err, "vnet"));
    }
}
