#include "control/switchctl/render.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BOLD_ON	 "\033[1m"
#define BOLD_OFF "\033[0m"

#define INDENT 2

/* Columns are that far apart. */
#define GAP 2

/* ---- Text ---- */

/* C0, DEL, and C1 as UTF-8 has it: what a terminal may take as a command. */
static bool is_control(const unsigned char *p)
{
	return *p < 0x20 || *p == 0x7f ||
	       (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

void render_text(FILE *out, const char *text)
{
	const unsigned char *p;

	for (p = (const unsigned char *)text; *p; p++) {
		if (is_control(p)) {
			fprintf(out, "\\x%02x", *p == 0xc2 ? p[1] : *p);
			p += *p == 0xc2;
		} else {
			putc(*p, out);
		}
	}
}

static size_t text_width(const char *text)
{
	const unsigned char *p;
	size_t width = 0;

	for (p = (const unsigned char *)text; *p; p++) {
		if (is_control(p)) {
			width += 4;
			p += *p == 0xc2;
		} else if ((*p & 0xc0) != 0x80) {
			width++;
		}
	}
	return width;
}

static bool is_scalar(const json_t *value)
{
	return !json_is_object(value) && !json_is_array(value);
}

static bool is_list(const json_t *value)
{
	json_t *element;
	size_t i;

	if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, element)
		if (!is_scalar(element))
			return false;
	return true;
}

static bool is_table(const json_t *value)
{
	json_t *element;
	size_t i;

	if (!json_array_size(value))
		return false;
	json_array_foreach(value, i, element)
		if (!json_is_object(element))
			return false;
	return true;
}

/* A scalar or a list of scalars as text, from malloc(). */
static char *value_text(const json_t *value)
{
	char *text = NULL;
	size_t size, i;
	json_t *element;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	if (json_is_string(value)) {
		/* A cell must not look like a gap. */
		fputs(json_string_length(value) ? json_string_value(value)
						: "-",
		      out);
	} else if (json_is_boolean(value)) {
		fputs(json_is_true(value) ? "yes" : "no", out);
	} else if (json_is_integer(value)) {
		fprintf(out, "%" JSON_INTEGER_FORMAT,
			json_integer_value(value));
	} else if (json_is_real(value)) {
		fprintf(out, "%g", json_real_value(value));
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, element) {
			char *part = value_text(element);

			fprintf(out, "%s%s", i ? "," : "", part);
			free(part);
		}
	} else {
		putc('-', out);
	}
	if (fclose(out))
		abort();
	return text;
}

static void spaces(FILE *out, size_t n)
{
	fprintf(out, "%*s", (int)n, "");
}

/* ---- Tables ---- */

struct column {
	const char *key;
	size_t width;
	bool number; /* only integers in it: aligned to the right */
};

static struct column *column_find(struct column *columns, size_t n,
				  const char *key)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strcmp(columns[i].key, key))
			return &columns[i];
	return NULL;
}

/* The columns of a table, in order of first appearance, from malloc(). */
static struct column *columns_of(const json_t *rows, size_t *n)
{
	struct column *columns = NULL, *column;
	const char *key;
	json_t *row, *value;
	size_t i;

	*n = 0;
	json_array_foreach(rows, i, row) {
		json_object_foreach(row, key, value) {
			char *text;

			if (!is_scalar(value) && !is_list(value))
				continue;
			column = column_find(columns, *n, key);
			if (!column) {
				columns = realloc(columns,
						  (*n + 1) * sizeof(*columns));
				if (!columns)
					abort();
				column = &columns[(*n)++];
				*column = (struct column){ key, text_width(key),
							   true };
			}
			text = value_text(value);
			if (text_width(text) > column->width)
				column->width = text_width(text);
			column->number &=
				json_is_integer(value) || json_is_null(value);
			free(text);
		}
	}
	return columns;
}

/* No blanks behind the last column. */
static void cell(FILE *out, const struct column *column, const char *text,
		 bool last)
{
	size_t pad = column->width - text_width(text);

	if (column->number)
		spaces(out, pad);
	render_text(out, text);
	if (!last)
		spaces(out, GAP + (column->number ? 0 : pad));
}

static void header(FILE *out, const struct column *columns, size_t n,
		   bool colour)
{
	size_t i;

	if (colour)
		fputs(BOLD_ON, out);
	for (i = 0; i < n; i++) {
		char *title = strdup(columns[i].key), *p;

		if (!title)
			abort();
		for (p = title; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		cell(out, &columns[i], title, i + 1 == n);
		free(title);
	}
	fprintf(out, "%s\n", colour ? BOLD_OFF : "");
}

static void table(FILE *out, const json_t *rows, size_t indent, bool colour)
{
	struct column *columns;
	json_t *row;
	size_t i, j, n;

	columns = columns_of(rows, &n);
	spaces(out, indent);
	header(out, columns, n, colour);
	json_array_foreach(rows, i, row) {
		spaces(out, indent);
		for (j = 0; j < n; j++) {
			char *text = value_text(
				json_object_get(row, columns[j].key));

			cell(out, &columns[j], text, j + 1 == n);
			free(text);
		}
		putc('\n', out);
	}
	free(columns);
}

/* ---- Objects ---- */

static void line(FILE *out, const char *key, const json_t *value)
{
	char *text = value_text(value);

	render_text(out, key);
	fputs(": ", out);
	render_text(out, text);
	putc('\n', out);
	free(text);
}

static void block(FILE *out, const json_t *object, size_t indent, bool colour);

static void title(FILE *out, const char *key, size_t indent)
{
	spaces(out, indent);
	render_text(out, key);
	fputs(":\n", out);
}

static void any(FILE *out, const char *key, const json_t *value, size_t indent,
		bool colour)
{
	json_t *element;
	size_t i;

	if (is_scalar(value) || (is_list(value) && json_array_size(value))) {
		spaces(out, indent);
		line(out, key, value);
	} else if (is_table(value)) {
		title(out, key, indent);
		table(out, value, indent + INDENT, colour);
	} else if (json_object_size(value)) {
		title(out, key, indent);
		block(out, value, indent + INDENT, colour);
	} else {
		/* Arrays of arrays and mixtures: one block an element. */
		json_array_foreach(value, i, element)
			any(out, key, element, indent, colour);
	}
}

/* Scalars before what is nested, as a reader looks for them. */
static void block(FILE *out, const json_t *object, size_t indent, bool colour)
{
	const char *key;
	json_t *value, *members = (json_t *)(uintptr_t)object;

	json_object_foreach(members, key, value)
		if ((is_scalar(value) || is_list(value)) &&
		    !(json_is_null(value) && !strcmp(key, "next")))
			any(out, key, value, indent, colour);
	json_object_foreach(members, key, value)
		if (!is_scalar(value) && !is_list(value))
			any(out, key, value, indent, colour);
}

/* A result that is a list: nothing in it but one table, and where to go on. */
static const json_t *only_table(json_t *result)
{
	const json_t *rows = NULL;
	const char *key;
	json_t *value;

	json_object_foreach(result, key, value) {
		if (is_table(value) && !rows)
			rows = value;
		else if (!is_scalar(value) || strcmp(key, "next"))
			return NULL;
	}
	return rows;
}

void render_result(FILE *out, const json_t *result, bool colour)
{
	json_t *members = (json_t *)(uintptr_t)result;
	const json_t *next = json_object_get(result, "next");
	const json_t *rows = is_table(result) ? result : only_table(members);

	if (rows) {
		table(out, rows, 0, colour);
		if (next && !json_is_null(next))
			line(out, "next", next);
	} else if (json_is_object(result)) {
		block(out, result, 0, colour);
	} else if (result && !json_is_null(result) &&
		   (is_scalar(result) || json_array_size(result))) {
		char *text = value_text(result);

		render_text(out, text);
		putc('\n', out);
		free(text);
	}
}

void render_event(FILE *out, const json_t *notification)
{
	json_t *params = json_object_get(notification, "params");
	const char *method =
		json_string_value(json_object_get(notification, "method"));
	const char *topic = json_string_value(json_object_get(params, "topic"));
	const char *key;
	json_t *value;

	render_text(out, topic ? topic : method ? method : "?");
	json_object_foreach(params, key, value) {
		char *text;

		if (!strcmp(key, "topic"))
			continue;
		text = is_scalar(value) || is_list(value)
			       ? value_text(value)
			       : json_dumps(value, JSON_COMPACT);
		putc(' ', out);
		render_text(out, key);
		putc('=', out);
		render_text(out, text ? text : "?");
		free(text);
	}
	putc('\n', out);
}
