/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/shell/configs.c ctl-dom/shell/lines.c ctl-dom/shell/stay.c ctl-dom/console/edit.c ctl-dom/domain/load.c ctl-dom/domain/error.c ctl-dom/volume/archive.c
// LINK: domains/devname.c ctl-dom/config/config.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c ctl-dom/config/config_cmdline.c ctl-dom/config/config_cpus.c ctl-dom/config/config_disk.c ctl-dom/config/config_pci.c ctl-dom/config/config_vif.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c
// FLAGS: -Ictl-dom -Idomains/include -luuid
/*
 * Configurations of the bundle and of a volume: which one counts, what a volume cannot have, and what is typed at the keyboard, which changes
 * something only if all of it is right.
 */
#include <errno.h>
#include "unit.h"
#include "console/console.h"
#include "console/edit.h"
#include "domain/elf.h"
#include "domain/load.h"
#include "run_command.h"
#include "screen.h"
#include "store/volume.h"

/* --- bundle and volume --- */
static const struct {
    const char *name, *text;
} bundled[] = {
    { "debian.cfg", "name = 'debian'\nkernel = 'k'\nmemory = 64\nautostart = 1\n" },
    { "net0.cfg", "name = 'net0'\nrole = 'driver'\nimage = 'net'\nmemory = 4\n" },
    { "k", "kernel of the bundle" },
};
static struct {
    const char *text;
} on_disk[ARCHIVE_FILES];
struct archive volume;
static const char *refuses; /* the volume, and why */
static bool no_volume;
static unsigned opened_now, writes;
static char wrote[4096], wrote_name[80];

struct image *bundle_find(struct bundle *b, const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(bundled); i++)
        if (!strcmp(b->image[i].name, name))
            return &b->image[i];
    return NULL;
}
int image_load(struct bundle *b, struct image *img, void **out, size_t *len, size_t max, char *err,
               size_t n)
{
    *out = strdup(img->data);
    *len = img->len;
    return 0;
}
int image_stream(struct bundle *b, struct image *img, sink_fn sink, void *arg, char *err, size_t n)
{
    return sink(arg, img->data, img->len);
}
void elf_begin(struct elf_stream *s, elf_write_fn write, void *arg, uint64_t limit) {}
int elf_feed(struct elf_stream *s, const void *data, size_t len) { return 0; }
int elf_end(struct elf_stream *s) { return 0; }

static void put(const char *name, const char *text)
{
    on_disk[volume.nr].text = text;
    snprintf(volume.file[volume.nr].name, ARCHIVE_NAME, "%s", name);
    volume.file[volume.nr++].size = strlen(text);
}
static const struct archive *files(void) { return &volume; }
static int stream(const char *name, sink_fn sink, void *arg, struct errbuf *e)
{
    const struct archive_file *f = archive_find(&volume, name);

    if (refuses)
        return fail(e, -EIO, "%s", refuses);
    assert_non_null(f);
    const char *text = on_disk[f - volume.file].text;
    size_t half = strlen(text) / 2;
    int rc = sink(arg, text, half);
    return rc ? rc : sink(arg, text + half, strlen(text) - half);
}
int volume_begin(bool tell, struct errbuf *e)
{
    if (refuses || no_volume)
        return fail(e, no_volume ? -ENOENT : -EIO, "%s", no_volume ? "none" : refuses);
    opened_now++;
    return 0;
}
void volume_end(void) { opened_now--; }
const char *volume_name(void) { return no_volume ? NULL : "blk0:bulkhead"; }
int volume_write(const char *name, const void *text, size_t len, struct errbuf *e)
{
    if (refuses)
        return fail(e, -EIO, "%s", refuses);
    writes++;
    snprintf(wrote_name, sizeof(wrote_name), "%s", name);
    snprintf(wrote, sizeof(wrote), "%.*s", (int)len, len ? (const char *)text : "");
    return 0;
}

/* --- the console --- */
static const char *keys = "";
int con_peek(void) { return *keys ? (unsigned char)*keys : -1; }
void con_getc(void) { keys++; }
void con_edits(struct edit *e) {}
void con_set_mode(enum con_mode m) {}
void con_write(const char *s, size_t len) {}
void command_findings(const struct findings *found, const char *why)
{
    for (unsigned i = 0; i < found->n; i++)
        out("%s\n", found->at[i].text);
}

#define SAYS(what)     assert_non_null(strstr(screen, what))
#define SAYS_NOT(what) assert_null(strstr(screen, what))

int setup(void **state)
{
    static const struct load_volume ours = { files, stream };

    for (unsigned i = 0; i < ARRAY_SIZE(bundled); i++)
        bundle.image[i] = (struct image){ .name = bundled[i].name,
                                          .data = bundled[i].text,
                                          .len = strlen(bundled[i].text),
                                          .full_len = strlen(bundled[i].text) };
    bundle.nr_images = ARRAY_SIZE(bundled);
    load_volume = &ours;
    memset(&volume, 0, sizeof(volume));
    refuses = NULL;
    no_volume = false;
    screen[0] = wrote[0] = wrote_name[0] = '\0';
    writes = 0;
    keys = "";
    return 0;
}
int teardown(void **state)
{
    assert_int_equal(opened_now, 0);
    return 0;
}

#define WEB "name = 'web'\nkernel = 'k'\nmemory = 32\nautostart = 1\n"

TEST(which_one_counts)
{
    static struct domcfg c;
    struct errbuf e;

    put("debian.cfg", "name = 'debian'\nkernel = 'k'\nmemory = 99\n");
    put("web.cfg", WEB);
    put("net0.cfg", "name = 'net0'\nkernel = 'k'\nmemory = 32\n");
    assert_int_equal(config_load(&c, "debian", &e), 0);
    assert_int_equal(c.memory_mb, 99);
    assert_int_equal(config_load(&c, "bundle:debian", &e), 0);
    assert_int_equal(c.memory_mb, 64);
    assert_int_equal(config_load(&c, "web.cfg", &e), 0);
    assert_int_equal(config_load(&c, "net0", &e), 0);
    assert_int_equal(c.role, BH_ROLE_DRIVER);
    assert_int_equal(config_load(&c, "bundle:web", &e), -ENOENT);
    assert_int_equal(config_load(&c, "", &e), -ENOENT);
    assert_false(config_on_volume("net0.cfg"));
    RUN(config_commands, "configs");
    SAYS("\nweb                      blk0:bulkhead              52  yes      \n");
    SAYS("\ndebian                   blk0:bulkhead              41  no         instead of the bundle's\n");
    SAYS("net0                     bundle");
    SAYS("blk0:bulkhead: net0.cfg is not used: a service domain's comes from the bundle alone\n");
    refuses = "blk0 does not answer"; /* not the bundle's in its place */
    assert_int_equal(config_load(&c, "debian", &e), -EIO);
    assert_string_equal(e.s, "debian.cfg: blk0 does not answer");
    assert_int_equal(config_load(&c, "bundle:debian", &e), 0);
}

TEST(guests_only)
{
    static struct domcfg c;
    struct errbuf e;

    put("drv.cfg", "name = 'drv'\nrole = 'driver'\nimage = 'net'\nmemory = 4\n");
    put("img.cfg", "name = 'img'\nimage = 'net'\nmemory = 4\n");
    assert_int_equal(config_load(&c, "drv", &e), -EPERM);
    assert_int_equal(config_load(&c, "img", &e), -EPERM);
}

static size_t streamed;
static int count(void *arg, const void *data, size_t len) { return streamed += len, 0; }

TEST(boot_files)
{
    struct boot_file f;
    char err[200];

    assert_false(boot_file_find(&f, "other"));
    assert_true(boot_file_find(&f, "k") && f.len == 20);
    put("k", "of the volume");
    assert_true(boot_file_find(&f, "k") && f.len == 13);
    streamed = 0;
    assert_int_equal(boot_file_stream(&f, count, NULL, err, sizeof(err)), 0);
    assert_int_equal(streamed, 13);
    refuses = "blk0 does not answer";
    assert_int_equal(boot_file_stream(&f, count, NULL, err, sizeof(err)), -EIO);
    assert_string_equal(err, refuses);
}

static void write_web(const char *typed)
{
    static char one[2];

    screen[0] = '\0';
    assert_true(RUN(config_commands, "config-write", "web"));
    bool on = command_is_on();
    while (*typed && on) { /* key by key */
        one[0] = *typed++;
        keys = one;
        on = command_is_on();
    }
    assert_false(on);
}

TEST(it_is_written)
{
    write_web("name = 'web'\rkernel = 'k'\rmemory =\t32\r.\r");
    assert_string_equal(wrote, "name = 'web'\nkernel = 'k'\nmemory = 32\n");
    assert_string_equal(wrote_name, "web.cfg");
    SAYS("web.cfg: written to blk0:bulkhead, 38 bytes\n");
    write_web("name = 'web'\rkernel = 'k'\rmemory = 33\r\x04");
    assert_int_equal(writes, 2);
    char full[1200]; /* to the brim, and a key that adds nothing */
    memset(full, '#', sizeof(full));
    strcpy(full + 1023, "\x1b[D\x7f\rname = 'web'\rkernel = 'k'\rmemory = 32\r.\r");
    write_web(full);
    assert_int_equal(writes, 3);
    refuses = "blk0:bulkhead: it is full";
    write_web("name = 'web'\rkernel = 'k'\rmemory = 33\r\x04");
    SAYS("it is full\n");
    SAYS_NOT("written to");
}

TEST(nothing_is_written)
{
    char all[3000];

    write_web("name = 'web'\rkernel = 'k'\rmemory = 32\r\x03");
    SAYS("web.cfg: nothing is changed\n");
    write_web("name = 'web'\rkrnel = 'k'\rmemory = 'much'\r.\r");
    SAYS("web.cfg:2: ");
    SAYS("web.cfg:3: "); /* all of it at once */
    SAYS("web.cfg: is not written\n");
    write_web("name = 'web'\r.\r");
    SAYS("memory is missing\n");
    write_web("name = 'web'\rrole = 'driver'\rimage = 'net'\rmemory = 4\r.\r");
    SAYS("can only have guests with a kernel\n");
    write_web(".\r");
    SAYS("is not written\n");
    memset(all, 'x', sizeof(all));
    all[0] = '#';
    strcpy(all + 1500, "\r.\r");
    write_web(all); /* it would be cut */
    SAYS("a line has 1023 characters at most\n");
    strcpy(all + 1022, "\xc3\xa4\r.\r"); /* a letter of two bytes */
    write_web(all);
    SAYS("a line has 1023 characters at most\n");
    assert_int_equal(writes, 0);
    static const char *const names[] = {
        "",    "..",   "-a",       "a/b",
        "a b", "net0", "net0.cfg", "1234567890123456789012345678901234567890123456789012345678901"
    };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        screen[0] = '\0';
        RUN(config_commands, "config-write", names[i]);
        assert_false(command_is_on());
        assert_true(strlen(screen) > 0);
        SAYS_NOT("Ctrl-D");
    }
    no_volume = true;
    RUN(config_commands, "config-write", "web");
    SAYS("no driver domain has a volume");
}

TEST(too_much)
{
    char line[1002];

    memset(line, 'x', sizeof(line));
    line[0] = '#';
    strcpy(line + 1000, "\r");
    assert_true(RUN(config_commands, "config-write", "web"));
    for (unsigned i = 0; i < 70 && (keys = line, command_is_on()); i++) {
    }
    SAYS("all lines have 65536 characters at most\n");
    SAYS("nothing is changed\n");
}

TEST(it_is_taken_away)
{
    put("web.cfg", WEB);
    put("debian.cfg", WEB);
    RUN(config_commands, "config-rm", "web");
    SAYS("web.cfg: taken off blk0:bulkhead\n");
    assert_string_equal(wrote_name, "web.cfg");
    assert_string_equal(wrote, "");
    RUN(config_commands, "config-rm", "debian");
    SAYS("; the bundle's counts again\n");
    RUN(config_commands, "config-rm", "net0");
    SAYS("is a service domain's");
    RUN(config_commands, "config-rm", "nosuch");
    SAYS("nosuch.cfg: is not on blk0:bulkhead\n");
    assert_int_equal(writes, 2);
}

TEST(it_is_shown)
{
    put("web.cfg", "# \x1b[31mred\nname = 'web'\nlast");
    RUN(config_commands, "config-show", "web");
    assert_string_equal(screen, "# ?[31mred\nname = 'web'\nlast\n");
}
