/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/console/edit.c
// FLAGS: -Ictl-dom
/* The line editor against a terminal of 80 columns that knows as much as the editor uses. */
#include "unit.h"
#include "console/edit.h"

static struct edit e;
static char screen[EDIT_COLUMNS + 1];
static unsigned column, newlines;
static int esc;
static unsigned arg;

static void terminal(const char *s, size_t len)
{
    for (; len; s++, len--) {
        char c = *s;
        if (esc == 1) {
            assert_int_equal(c, '[');
            esc = 2;
            arg = 0;
        } else if (esc == 2 && c >= '0' && c <= '9') {
            arg = arg * 10 + (unsigned)(c - '0');
        } else if (esc == 2) {
            esc = 0;
            if (c == 'K')
                memset(screen + column, ' ', EDIT_COLUMNS - column);
            else if (c == 'C')
                column += arg ? arg : 1;
            else
                fail_msg("unknown sequence %c", c);
        } else if (c == 27) {
            esc = 1;
        } else if (c == '\r') {
            column = 0;
        } else if (c == '\n') {
            column = 0;
            newlines++;
            memset(screen, ' ', EDIT_COLUMNS);
        } else {
            if ((c & 0xc0) == 0x80) /* the rest of a letter */
                continue;
            assert_true((c >= 32 && c < 127) || c < 0);
            assert_true(column < EDIT_COLUMNS - 1); /* the last column would wrap */
            screen[column++] = c;
        }
    }
    assert_true(column < EDIT_COLUMNS);
}

static bool type(const char *s)
{
    bool done = false;
    while (*s)
        done = edit_key(&e, (unsigned char)*s++);
    edit_flush(&e);
    return done;
}

static void shows(const char *text, unsigned at)
{
    char want[EDIT_COLUMNS + 1];
    snprintf(want, sizeof(want), "%-80s", text);
    assert_string_equal(screen, want);
    assert_int_equal(column, at);
}

int setup(void **state)
{
    memset(screen, ' ', EDIT_COLUMNS);
    column = newlines = 0;
    esc = 0;
    edit_init(&e, terminal, "bh> ");
    edit_start(&e);
    return 0;
}

TEST(keys)
{
    type("lost");
    shows("bh> lost", 8);
    type("\x1b[D\x1b[D\x7f");
    shows("bh> lst", 5);
    type("i");
    shows("bh> list", 6);
    type("\x01x");
    shows("bh> xlist", 5);
    type("\x05 a");
    shows("bh> xlist a", 11);
    type("\x1b[H\x1b[3~");
    shows("bh> list a", 4);
    type("\x1b[F\x17");
    shows("bh> list ", 9);
    type("\x15");
    shows("bh> ", 4);
    type("abc\x1b[1~\x1b[C\x0b");
    shows("bh> a", 5);
    type("\x1b[4~\x08\x08\x08");
    shows("bh> ", 4);
    type("\x1bOA\x1b[99X\x1b[5~"); /* keys that mean nothing */
    shows("bh> ", 4);
    assert_true(type("help\r"));
    assert_string_equal(e.line, "help");
    edit_start(&e);
    assert_true(type("half\x03"));
    assert_string_equal(e.line, "");
}

/* Letters of two and three bytes have one column, and come and go whole. */
TEST(letters_above_ascii)
{
    type("a\xc3\xb6\xe2\x82\xac"
         "b");
    assert_string_equal(e.line, "a\xc3\xb6\xe2\x82\xac"
                                "b");
    assert_int_equal(column, 8);
    type("\x1b[D\x1b[D");
    assert_int_equal(column, 6);
    type("\x7f");
    assert_string_equal(e.line, "a\xe2\x82\xac"
                                "b");
    assert_int_equal(column, 5);
    type("\x1b[3~\xc3\x9f");
    assert_string_equal(e.line, "a\xc3\x9f"
                                "b");
    type("\x01\x04\x05\x08");
    assert_string_equal(e.line, "\xc3\x9f");
    type("\x15");
    /* none: too long a form, a surrogate, a combining mark, a wide one, one that turns the text, a half one, one in a sequence */
    type("\xc1\x81\xe0\x83\xb6\xed\xa0\x80\xcc\x81\xe4\xb8\xad\xe2\x80\xae\xc3x\x1b]\xc3\xb6\x07");
    assert_string_equal(e.line, "x");
    type("\x15");
    for (unsigned i = 0; i < 2 * EDIT_MAX; i++)
        type("\xc3\xb6");
    assert_int_equal(e.len, EDIT_MAX - 2);
    assert_int_equal(column, EDIT_COLUMNS - 1);
    for (unsigned i = 0; i < 100; i++)
        type("\x1b[D");
    type("z\x7f");
    assert_in_range(column, 4, EDIT_COLUMNS - 1);
    type("\x01");
    assert_int_equal(column, 4);
    assert_true(type("\r"));
}

/* What is offered for Tab, and how often that was asked. */
static const char *const *words;
static unsigned asked;
static void offers(struct edit *at)
{
    asked++;
    for (unsigned i = 0; words[i]; i++)
        edit_offer(at, words[i]);
}
static void tab(const char *const *of)
{
    words = of;
    asked = 0;
    assert_true(edit_key(&e, '\t'));
    assert_true(e.tab);
    edit_complete(&e, offers);
    assert_false(e.tab);
}

TEST(words_that_go_on)
{
    static const char *const commands[] = { "network-list", "network-attach", "list", NULL };
    static const char *const volumes[] = { "phy:blk0:", "b\x1b[2J", "b \n", "phy:blk0\xc3", NULL };

    type("net");
    tab(commands);
    shows("bh> network-", 12);
    tab(commands); /* they part here */
    assert_int_equal(asked, 2);
    assert_int_equal(newlines, 2);
    shows("bh> network-", 12);
    type("a");
    tab(commands);
    shows("bh> network-attach ", 19);
    type("b");
    tab(volumes); /* nobody's word is more than a word */
    shows("bh> network-attach b", 20);
    type("\x7fph");
    tab(volumes); /* more follows a colon */
    shows("bh> network-attach phy:blk0:", 28);
    tab(volumes);
    shows("bh> network-attach phy:blk0:", 28);
    type("\x15li x\x1b[D\x1b[D");
    tab(commands); /* in the middle of a line */
    shows("bh> list x", 8);
    type("\x05\x15zz");
    tab(commands);
    assert_int_equal(asked, 1);
    shows("bh> zz", 6);
    assert_true(type("\r"));
    assert_false(e.tab);
}

/* Words that are shown stay within the screen, however long and many. */
TEST(words_that_are_shown)
{
    static char word[200][EDIT_WORD + 8];
    static const char *of[201];

    for (unsigned i = 0; i < 200; i++) {
        snprintf(word[i], sizeof(word[i]), "w%03u", i);
        if (i % 7 == 0)
            memset(word[i] + 4, 'x', i < 70 ? i : 70);
        of[i] = word[i];
    }
    memset(word[199] + 4, 'y', EDIT_WORD); /* too long a word is none */
    type("w");
    tab(of);
    assert_in_range(newlines, 50, 110);
    shows("bh> w", 5);
}

TEST(history)
{
    type("one\r");
    edit_start(&e);
    type("two\r");
    edit_start(&e);
    type("two\r"); /* kept once */
    edit_start(&e);
    type("new");
    type("\x1b[A");
    shows("bh> two", 7);
    type("\x1b[A");
    shows("bh> one", 7);
    type("\x1b[A\x1b[A");
    shows("bh> one", 7);
    type("\x1b[B\x1b[B\x1b[B");
    shows("bh> new", 7);
    for (unsigned i = 0; i < 3 * EDIT_HISTORY; i++) {
        char line[16];
        snprintf(line, sizeof(line), "%u\r", i);
        type("\x15");
        type(line);
        edit_start(&e);
    }
    for (unsigned i = 0; i < EDIT_HISTORY + 5; i++)
        type("\x1b[A");
    shows("bh> 64", 6);
}

TEST(long_line)
{
    for (unsigned i = 0; i < 3000; i++)
        edit_key(&e, (unsigned char)('a' + i % 26));
    assert_int_equal(e.len, EDIT_MAX - 1);
    edit_flush(&e);
    assert_int_equal(column, EDIT_COLUMNS - 1);
    type("\x01");
    assert_memory_equal(screen, "bh> abcdef", 10);
    assert_int_equal(column, 4);
    type("\x05");
    assert_int_equal(column, EDIT_COLUMNS - 1);
    assert_int_equal(newlines, 0);
    assert_true(type("\r"));
}

TEST(interrupted)
{
    type("list\x1b[D");
    edit_hide(&e);
    terminal("net0: up\n", 9);
    edit_show(&e);
    shows("bh> list", 7);
}

/* Whatever is typed: the model above never sees a wrap, and the line keeps its shape. */
/* What a terminal sends that is no key: answers, reports of mouse and focus, pasted text's marks, in seven and eight bits. */
TEST(answers_leave_no_text)
{
    static const char *const answer[] = {
        "\x1b[?1;2c",
        "\x1b[>41;366;0c",
        "\x1b[24;80R",
        "\x1b[?25;1$y",
        "\x1b[8;24;80t",
        "\x1b[I",
        "\x1b[O",
        "\x1b[200~",
        "\x1b[201~",
        "\x1b[<35;10;10M",
        "\x1b[<0;1;1m",
        "\x1b[M !!",
        "\x1b[M\xff\x80\x1b",
        "\x1b]11;rgb:0000/0000/0000\x1b\\",
        "\x1b]11;rgb:0000/0000/0000\a",
        "\x1b]ldestroy debian\x1b\\",
        "\x1bP>|XTerm(379)\x1b\\",
        "\x1bP1$r0m\x1b\\",
        "\x1bXtext\x1b\\",
        "\x1b^text\x1b\\",
        "\x1b_Gi=31;OK\x1b\\",
        "\x1b(B",
        "\x1b F",
        "\x9b?1;2c",
        "\xc2\x9b?1;2c",
        "\x90>|XTerm(379)\x9c",
        "\x9dltext\x07",
        "\xc2\x9dltext\xc2\x9c",
        "\x1b]ltext\x1b[1;2R",
        "\x1bP\x18",
        "\x1b]0;text\x03",
        "\xe2\x9b\x90",
        "\xf0\x9f\x9b\x9d",
    };
    for (unsigned i = 0; i < sizeof(answer) / sizeof(*answer); i++) {
        assert_false(type(answer[i]));
        shows("bh> ", 4);
        type("x\x1b[D"); /* and what comes next is taken as it is */
        shows("bh> x", 4);
        type("\x1b[3~");
        shows("bh> ", 4);
    }
}

TEST(noise)
{
    static const char *const any[] = { "a", "list", "bcd", "b:", NULL };

    words = any;
    srand(11);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned r = (unsigned)rand();
        unsigned char c = r % 4 ? (unsigned char)(32 + r / 4 % 95) : (unsigned char)(r / 4 % 256);
        bool done = edit_key(&e, c);
        if (done && e.tab)
            edit_complete(&e, offers);
        else if (done)
            edit_start(&e);
        if (r % 7 == 0)
            edit_flush(&e);
        assert_true(e.cur <= e.len && e.len < EDIT_MAX);
        assert_int_equal(strlen(e.line), e.len);
    }
}
