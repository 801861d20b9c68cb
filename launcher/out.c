#include "launcher/out.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "launcher/cli.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/jsontext.h"
#include "lib/str.h"

enum { OUT_LINE_MAX = 64 * 1024, COLUMNS_MAX = 16, RESULT_MAX = 64 * 1024 * 1024 };

int out_format_parse(const char *name, enum out_format *ret)
{
	static const char *const names[] = { "table", "json", "yaml" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eq(name, names[i])) {
			*ret = (enum out_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool out_has_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return !(no && no[0]) && isatty(fileno(f));
}

/* One line, written at once so that lines of several processes do not mix. */
static void say(const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void say(const char *prefix, const char *fmt, va_list ap)
{
	auto_buf struct buf line;
	char text[ERR_TEXT_MAX * 2];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	buf_init(&line, OUT_LINE_MAX);
	(void)buf_puts(&line, prefix);
	(void)str_escape(&line, text, strlen(text));
	(void)buf_putc(&line, '\n');
	(void)!write(STDERR_FILENO, buf_head(&line), line.len);
}

int out_fail(int status, const struct err *err)
{
	(void)out_error(status, "%s", err->text[0] ? err->text : "failed");
	if (err->hint[0])
		out_hint("%s", err->hint);
	return status;
}

int out_error(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("openshell: ", fmt, ap);
	va_end(ap);
	return status;
}

void out_hint(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("hint: ", fmt, ap);
	va_end(ap);
}

void out_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("openshell: ", fmt, ap);
	va_end(ap);
}

void out_note_lines(const char *head, char *const *below)
{
	if (below)
		out_note("%s", head);
	for (; below && *below; below++)
		(void)fprintf(stderr, "  %s\n", *below);
}

void out_done(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(out_has_colour(stderr) ? "\033[32m✓\033[0m " : "✓ ", fmt, ap);
	va_end(ap);
}

void out_mark(const char *mark, const char *fmt, ...)
{
	char prefix[16];
	va_list ap;

	(void)str_format(prefix, sizeof(prefix), "%s ", mark);
	va_start(ap, fmt);
	say(prefix, fmt, ap);
	va_end(ap);
}

/* --- JSON and YAML --- */

static void yaml_value(struct buf *out, const json_t *v, unsigned int indent);

/* A plain scalar only where nothing could read it as anything but this string. */
static bool is_plain(const char *s)
{
	static const char *const special[] = { "true", "false", "null", "yes", "no", "on", "off",
		"y", "n" };

	if (!((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z') || s[0] == '/'))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		if (str_case_eq(s, special[i]))
			return false;
	}
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")] ==
	       '\0';
}

static void yaml_string(struct buf *out, const char *s)
{
	if (is_plain(s)) {
		(void)buf_puts(out, s);
		return;
	}
	(void)buf_putc(out, '"');
	(void)str_json_escape(out, s, strlen(s));
	(void)buf_putc(out, '"');
}

static void yaml_newline(struct buf *out, unsigned int indent)
{
	(void)buf_putc(out, '\n');
	for (unsigned int i = 0; i < indent; i++)
		(void)buf_puts(out, "  ");
}

static void yaml_list(struct buf *out, const json_t *v, unsigned int indent)
{
	if (json_array_size(v) == 0)
		(void)buf_puts(out, "[]");
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (i > 0)
			yaml_newline(out, indent);
		(void)buf_puts(out, "- ");
		yaml_value(out, json_array_get(v, i), indent + 1);
	}
}

static bool is_filled(const json_t *v)
{
	return (json_is_object(v) && json_object_size(v)) ||
	       (json_is_array(v) && json_array_size(v));
}

static void yaml_map(struct buf *out, json_t *v, unsigned int indent)
{
	const char *key;
	bool is_first = true;
	json_t *item;

	if (json_object_size(v) == 0)
		(void)buf_puts(out, "{}");
	json_object_foreach (v, key, item) {
		if (!is_first)
			yaml_newline(out, indent);
		is_first = false;
		yaml_string(out, key);
		(void)buf_putc(out, ':');
		if (is_filled(item))
			yaml_newline(out, indent + 1);
		else
			(void)buf_putc(out, ' ');
		yaml_value(out, item, indent + 1);
	}
}

static void yaml_value(struct buf *out, const json_t *v, unsigned int indent)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		yaml_map(out, (json_t *)(uintptr_t)v, indent);
		break;
	case JSON_ARRAY:
		yaml_list(out, v, indent);
		break;
	case JSON_STRING:
		yaml_string(out, json_string_value(v));
		break;
	case JSON_INTEGER:
		(void)buf_printf(out, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		(void)buf_printf(out, "%.17g", json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		(void)buf_puts(out, json_is_true(v) ? "true" : "false");
		break;
	case JSON_NULL:
		(void)buf_puts(out, "null");
		break;
	}
}

static int finish(void)
{
	if (fflush(stdout) == 0)
		return CLI_OK;
	return out_error(CLI_FAILED, "cannot write to standard output: %s", err_name(errno));
}

int out_json(json_t *v, enum out_format format)
{
	auto_buf struct buf out;
	bool ok;

	buf_init(&out, RESULT_MAX);
	if (format == OUT_JSON) {
		/* Escaped to ASCII: then no text from outside can play with the terminal. */
		char *text = v ? jsontext_dumps(v, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;

		ok = text && buf_puts(&out, text) == 0;
		free(text);
	} else {
		ok = v != NULL;
		if (v)
			yaml_value(&out, v, 0);
	}
	json_decref(v);
	if (!ok || buf_putc(&out, '\n') < 0)
		return out_error(CLI_FAILED, "cannot render the result: out of memory");
	(void)fwrite(buf_head(&out), 1, out.len, stdout);
	return finish();
}

/* --- tables --- */

/* Columns a string takes: one for each code point. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* One cell, escaped; padded to @pad columns. */
static void put_cell(struct buf *line, const char *cell, size_t pad)
{
	size_t start = line->len;

	if (cell)
		(void)str_escape(line, cell, strlen(cell));
	if (!buf_cstr(line))
		return;
	for (size_t have = width(buf_head(line) + start); have < pad; have++)
		(void)buf_putc(line, ' ');
}

static void put_row(const char *const *cells, size_t n_columns, const size_t *widths)
{
	auto_buf struct buf line;

	buf_init(&line, OUT_LINE_MAX);
	for (size_t c = 0; c < n_columns; c++)
		put_cell(&line, cells[c], c + 1 < n_columns ? widths[c] + 2 : 0);
	while (line.len && buf_head(&line)[line.len - 1] == ' ')
		buf_truncate(&line, line.len - 1);
	(void)buf_putc(&line, '\n');
	(void)fwrite(buf_head(&line), 1, line.len, stdout);
}

void out_table(const char *const *cells, size_t n_rows, size_t n_columns)
{
	size_t widths[COLUMNS_MAX] = { 0 };

	assert(n_columns <= COLUMNS_MAX);
	for (size_t i = 0; i < n_rows * n_columns; i++) {
		size_t w = cells[i] ? width(cells[i]) : 0;

		if (w > widths[i % n_columns])
			widths[i % n_columns] = w;
	}
	for (size_t row = 0; row < n_rows; row++)
		put_row(cells + row * n_columns, n_columns, widths);
}

void out_time(char ret[24], uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(ret, 24, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)str_copy(ret, 24, "-");
}
