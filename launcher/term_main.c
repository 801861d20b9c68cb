/*
 * openshell-term - the full-screen view, on a terminal.
 *
 * May: read sandboxes' logs and policies, send a policy to a supervisor when the user has answered
 * a question with yes, and write to its terminal what launcher/term_cells.c let through.
 * May not: be asked anything by a sandbox, or write anything else to the terminal.
 *
 * A program of its own, so that no other command pays for loading curses. `openshell term` has
 * parsed the command line: openshell-term auto|dark|light [NAME].
 *
 * Signals are blocked but while it waits, so that curses' handlers (window size, stop and continue)
 * never run in the middle of something. Whatever ends it, the terminal is put back first.
 */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "launcher/out.h"
#include "launcher/term_bars.h"
#include "launcher/term_cells.h"
#include "launcher/term_view.h"
#include "launcher/term_world.h"
#include "lib/cleanup.h"
#include "lib/str.h"

enum { ESCAPE_MS = 50, DRAW_MS = 40 };

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

struct ui {
	struct term_model model;
	struct term_world *world;
	struct cells cells;
	attr_t attributes[CELLS_STYLES];
	short pairs[CELLS_STYLES];
	sigset_t waiting; /* the mask while it waits */
	uint64_t drawn_ms, refreshed_ms;
	bool is_dirty;
};

/* ---- Colours ----------------------------------------------------------------------------- */

/* For CELLS_ALLOW, DENY, AUDIT, ACCENT, DIM; -1: an attribute instead. */
struct palette {
	short many[5], few[5];
};

static const struct palette dark = {
	{ 114, 203, 221, 80, 245 },
	{ COLOR_GREEN, COLOR_RED, COLOR_YELLOW, COLOR_CYAN, -1 },
};
static const struct palette light = {
	{ 28, 160, 130, 25, 242 },
	{ COLOR_GREEN, COLOR_RED, COLOR_MAGENTA, COLOR_BLUE, -1 },
};
/* Readable on both, for terminals that do not tell. */
static const struct palette either = {
	{ 34, 167, 136, 31, 244 },
	{ COLOR_GREEN, COLOR_RED, COLOR_MAGENTA, COLOR_CYAN, -1 },
};

/* COLORFGBG, which several terminals set, ends with the number of the background's colour. */
static const struct palette *palette_of(const char *theme)
{
	const char *told = getenv("COLORFGBG"), *semicolon = told ? strrchr(told, ';') : NULL;
	uint64_t background;

	if (str_eq(theme, "dark"))
		return &dark;
	if (str_eq(theme, "light"))
		return &light;
	if (!semicolon || str_to_u64(semicolon + 1, 255, &background) < 0)
		return &either;
	return background == 7 || background == 15 ? &light : &dark;
}

static void set_colours(struct ui *u, const char *theme)
{
	static const enum cells_style styles[] = { CELLS_ALLOW, CELLS_DENY, CELLS_AUDIT,
		CELLS_ACCENT, CELLS_DIM };
	const struct palette *p = palette_of(theme);

	if (!out_has_colour(stdout) || !has_colors() || start_color() == ERR ||
		use_default_colors() == ERR)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
		short colour = COLORS >= 256 ? p->many[i] : p->few[i];
		short pair = (short)(i + 1);

		if (colour < 0 || init_pair(pair, colour, -1) == ERR)
			continue;
		u->pairs[styles[i]] = pair;
		u->attributes[styles[i]] = A_NORMAL;
	}
}

static void choose_attributes(struct ui *u, const char *theme)
{
	u->attributes[CELLS_DIM] = A_DIM;
	u->attributes[CELLS_BOLD] = A_BOLD;
	u->attributes[CELLS_BAR] = A_REVERSE;
	u->attributes[CELLS_HEAD] = A_BOLD;
	u->attributes[CELLS_DENY] = A_BOLD;
	set_colours(u, theme);
}

/* ---- Drawing ----------------------------------------------------------------------------- */

static void copy_cell(const struct ui *u, int row, int col, const struct cell *cell)
{
	unsigned int style = cell->style & ~(unsigned int)(CELLS_SELECTED | CELLS_FOUND);
	attr_t attributes = u->attributes[style];
	cchar_t c;

	if (!cell->text[0]) /* the right half of a wide one */
		return;
	if (cell->style & CELLS_SELECTED)
		attributes |= A_REVERSE;
	if (cell->style & CELLS_FOUND)
		attributes |= A_REVERSE;
	if (setcchar(&c, cell->text, attributes, u->pairs[style], NULL) == OK)
		(void)mvadd_wch(row, col, &c);
}

static int draw(struct ui *u)
{
	int rows, cols, cursor, r;

	getmaxyx(stdscr, rows, cols);
	u->model.rows = rows;
	u->model.cols = cols;
	u->model.now_ms = event_now_ms();
	r = term_draw(&u->model, &u->cells);
	if (r < 0)
		return r;
	for (int row = 0; row < u->cells.rows; row++)
		for (int col = 0; col < u->cells.cols; col++)
			copy_cell(u, row, col,
				&u->cells.list[(size_t)row * (size_t)u->cells.cols + (size_t)col]);
	cursor = term_cursor_col(&u->model);
	(void)curs_set(cursor >= 0);
	(void)move(u->cells.rows - 1, cursor >= 0 ? cursor : 0);
	(void)refresh();
	u->drawn_ms = event_now_ms();
	u->is_dirty = false;
	return 0;
}

/* ---- Keys -------------------------------------------------------------------------------- */

static uint32_t translate(int kind, wint_t key)
{
	static const struct {
		wint_t theirs;
		uint32_t ours;
	} keys[] = {
		{ KEY_UP, TERM_KEY_UP },
		{ KEY_DOWN, TERM_KEY_DOWN },
		{ KEY_PPAGE, TERM_KEY_PAGE_UP },
		{ KEY_NPAGE, TERM_KEY_PAGE_DOWN },
		{ KEY_HOME, TERM_KEY_HOME },
		{ KEY_END, TERM_KEY_END },
		{ KEY_ENTER, TERM_KEY_ENTER },
		{ KEY_BACKSPACE, TERM_KEY_BACKSPACE },
		{ KEY_LEFT, TERM_KEY_ESCAPE },
		{ KEY_RIGHT, TERM_KEY_ENTER },
	};

	for (size_t i = 0; kind == KEY_CODE_YES && i < ARRAY_SIZE(keys); i++)
		if (keys[i].theirs == key)
			return keys[i].ours;
	if (kind == KEY_CODE_YES)
		return 0;
	return key == '\r' || key == '\n' ? TERM_KEY_ENTER
	       : key == 0x1b		  ? TERM_KEY_ESCAPE
	       : key == 0x7f || key == 8  ? TERM_KEY_BACKSPACE
					  : (uint32_t)key;
}

/* False when it is time to go. */
static bool take_key(struct ui *u, uint32_t key)
{
	enum term_question before = u->model.question;
	enum term_want want = term_key(&u->model, key);

	if (want == TERM_QUIT)
		return false;
	if (want == TERM_REDRAW)
		(void)clearok(curscr, TRUE);
	world_do(u->world, want);
	/* What was typed before the question was seen is no answer to it. */
	if (u->model.question && !before)
		(void)flushinp();
	u->is_dirty = true;
	return true;
}

static bool take_keys(struct ui *u)
{
	wint_t key;
	int kind;

	while ((kind = get_wch(&key)) != ERR) {
		if (kind == KEY_CODE_YES && key == KEY_RESIZE)
			u->is_dirty = true;
		else if (!take_key(u, translate(kind, key)))
			return false;
	}
	return true;
}

/* ---- The loop ---------------------------------------------------------------------------- */

/* Until a key, news or @wait_ms; soon after a drawing news have to wait. False at the end. */
static bool wait_for_news(struct ui *u, int wait_ms, bool *ret_news)
{
	struct pollfd p[1 + WORLD_FEEDS_MAX] = { { .fd = STDIN_FILENO, .events = POLLIN } };
	uint64_t now = event_now_ms(), since = now > u->drawn_ms ? now - u->drawn_ms : 0;
	size_t n = since < DRAW_MS ? 1 : 1 + world_poll(u->world, p + 1);
	struct timespec ts;
	int r;

	if (since < DRAW_MS || wait_ms < 0 || wait_ms > WORLD_REFRESH_MS)
		wait_ms = since < DRAW_MS ? (int)(DRAW_MS - since) : WORLD_REFRESH_MS;
	ts = (struct timespec){ .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L };
	r = ppoll(p, n, &ts, &u->waiting);
	*ret_news = n > 1 || r < 0;
	/* A terminal that went away answers every poll at once. */
	return !caught && (r >= 0 || errno == EINTR) &&
	       !(p[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

static int run(struct ui *u)
{
	bool has_news = false;
	int wait_ms = -1, r;

	do {
		uint64_t now = event_now_ms();

		if (now - u->refreshed_ms >= WORLD_REFRESH_MS) {
			world_refresh(u->world);
			u->refreshed_ms = now;
			u->is_dirty = true;
		}
		if (has_news)
			u->is_dirty |= world_follow(u->world, &wait_ms);
		if (!take_keys(u))
			return 0;
		r = u->is_dirty ? draw(u) : 0;
		if (r < 0)
			return r;
	} while (wait_for_news(u, wait_ms, &has_news));
	return 0;
}

/* ---- The terminal ------------------------------------------------------------------------ */

static int check_terminal(void)
{
	const char *type = getenv("TERM");
	bool is_able;
	int found;

	if (setupterm(NULL, STDOUT_FILENO, &found) == ERR)
		return out_error(CLI_FAILED, "term: this terminal (TERM=%s) is not known here",
			type ? type : "");
	is_able = cursor_address && clear_screen;
	(void)del_curterm(cur_term);
	if (!is_able)
		return out_error(CLI_FAILED,
			"term: this terminal (TERM=%s) cannot move its cursor; see 'openshell "
			"logs'",
			type ? type : "");
	return CLI_OK;
}

static void catch_signals(struct ui *u)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction on = { .sa_handler = on_signal };
	sigset_t busy;

	(void)sigemptyset(&busy);
	(void)sigaddset(&busy, SIGWINCH);
	(void)sigaddset(&busy, SIGTSTP);
	(void)sigaddset(&busy, SIGCONT);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		(void)sigaddset(&busy, ends[i]);
		(void)sigaction(ends[i], &on, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &busy, &u->waiting);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		(void)sigdelset(&u->waiting, ends[i]);
}

static SCREEN *open_terminal(struct ui *u, const char *theme)
{
	SCREEN *screen = newterm(NULL, stdout, stdin);

	if (!screen)
		return NULL;
	catch_signals(u);
	(void)set_escdelay(ESCAPE_MS);
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	choose_attributes(u, theme);
	return screen;
}

/* To whoever waits for us the end looks as if the signal had not been caught. */
static int end_as_caught(int status)
{
	sigset_t one;

	if (!caught)
		return status;
	(void)signal(caught, SIG_DFL);
	(void)sigemptyset(&one);
	(void)sigaddset(&one, caught);
	(void)raise(caught);
	(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
	return 128 + caught;
}

static int show(struct ui *u, const char *theme)
{
	SCREEN *screen = open_terminal(u, theme);
	int r;

	if (!screen)
		return out_error(CLI_FAILED, "term: cannot use this terminal");
	r = run(u);
	(void)endwin();
	delscreen(screen);
	if (r < 0)
		return out_error(CLI_FAILED, "term: %s", err_name(r));
	return end_as_caught(CLI_OK);
}

int main(int argc, char **argv)
{
	struct ui u = { .is_dirty = true };
	struct err err = { 0 };
	int status;

	if (argc < 2)
		return out_error(CLI_USAGE, "this is a part of 'openshell term'");
	(void)setlocale(LC_ALL, "");
	status = check_terminal();
	if (status != CLI_OK)
		return status;
	term_model_init(&u.model);
	u.world = world_new(&u.model);
	if (!u.world)
		return out_error(CLI_FAILED, "term: %s", err_name(-ENOMEM));
	world_refresh(u.world);
	u.refreshed_ms = event_now_ms();
	if (argc > 2 && world_show(u.world, argv[2], &err) < 0)
		status = out_fail(CLI_FAILED, &err);
	else
		status = show(&u, argv[1]);
	world_free(u.world);
	term_model_done(&u.model);
	cells_done(&u.cells);
	return status;
}
