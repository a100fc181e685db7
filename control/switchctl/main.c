/*
 * switchctl - the command line of the control socket
 *
 * It knows no method: what there is to call, which parameters there are and
 * of which type, the daemon says (rpc.discover).
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/rpc_client.h"
#include "control/switchctl/complete.h"
#include "control/switchctl/doc.h"
#include "control/switchctl/help.h"
#include "control/switchctl/params.h"
#include "control/switchctl/render.h"

/* A daemon that needs longer is stuck. */
#define CALL_MS 60000

/* Nobody waits longer than that for a Tab. */
#define COMPLETE_MS 1000

enum status {
	STATUS_DONE = 0,
	STATUS_REFUSED = 1,
	STATUS_USAGE = 2,
	STATUS_UNREACHABLE = 3,
};

struct cli {
	const char *socket; /* NULL = the default */
	bool json;
	struct rpc_client *client;
	json_t *doc;
};

static int complain(const char *what, int err, const struct error *e)
{
	fprintf(stderr, "switchctl: ");
	if (*what)
		fprintf(stderr, "%s: ", what);
	/* The daemon quotes what others sent it. */
	render_text(stderr, e->message);
	fprintf(stderr, " (%s%s", e->reason, *e->path ? ", at " : "");
	render_text(stderr, e->path);
	fprintf(stderr, ")\n");
	return err == -EREMOTEIO ? STATUS_REFUSED : STATUS_UNREACHABLE;
}

/* Connect and learn what there is. 0 or an exit status. */
static int cli_open(struct cli *cli, int timeout_ms)
{
	struct error e = { 0 };
	int err;

	cli->client = rpc_client_connect(cli->socket, &e);
	if (!cli->client)
		return complain("", -errno, &e);
	err = rpc_client_call(cli->client, "rpc.discover", NULL, &cli->doc,
			      NULL, timeout_ms, &e);
	return err ? complain("rpc.discover", err, &e) : 0;
}

/* ---- Calls ---- */

/* Append the lists of a page to those of the pages before it. */
static void page_add(json_t *all, json_t *page)
{
	const char *key;
	json_t *value;

	json_object_foreach(page, key, value) {
		json_t *list = json_object_get(all, key);

		if (json_is_array(list) && json_is_array(value))
			json_array_extend(list, value);
	}
	value = json_object_get(page, "next");
	json_object_set_new(all, "next",
			    value ? json_incref(value) : json_null());
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
}

static void print_result(const struct cli *cli, const json_t *result)
{
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	if (cli->json)
		print_json(result);
	else
		render_result(stdout, result, colour);
}

/*
 * Where the next page begins, borrowed; NULL where there is none, or where
 * the daemon makes no progress.
 */
static json_t *page_next(const json_t *result, const json_t *before)
{
	json_t *next = json_object_get(result, "next");

	if (!json_is_string(next) && !json_is_integer(next))
		return NULL;
	return before && json_equal(next, before) ? NULL : next;
}

/*
 * Call a method and print what it returns; all pages of it, unless the user
 * asked for one. As JSON each page is a line. `params` is stolen.
 */
static int call_print(const struct cli *cli, const char *name, json_t *params)
{
	bool one = json_object_get(params, "limit") != NULL;
	json_t *all = NULL, *result, *after = NULL;
	struct error e = { 0 };
	int err;

	for (;;) {
		json_t *next;

		err = rpc_client_call(cli->client, name, json_copy(params),
				      &result, NULL, CALL_MS, &e);
		if (err)
			break;
		next = one ? NULL : page_next(result, after);
		json_decref(after);
		after = json_incref(next);
		if (cli->json)
			print_json(result);
		else if (all)
			page_add(all, result);
		else
			all = json_incref(result);
		json_decref(result);
		if (!after)
			break;
		json_object_set(params, "after", after);
	}
	if (all)
		print_result(cli, all);
	json_decref(after);
	json_decref(all);
	json_decref(params);
	return err ? complain(name, err, &e) : STATUS_DONE;
}

/* Print notifications until the connection ends or we are interrupted. */
static int follow(const struct cli *cli, json_t *params)
{
	struct error e = { 0 };
	json_t *note;
	int err = rpc_client_call(cli->client, "event.subscribe", params, NULL,
				  NULL, CALL_MS, &e);

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (!err) {
		err = rpc_client_next(cli->client, &note, -1, &e);
		if (err)
			break;
		if (cli->json)
			print_json(note);
		else
			render_event(stdout, note);
		json_decref(note);
	}
	return complain("event.subscribe", err, &e);
}

/* Say what there is instead. */
static int no_such(const struct cli *cli, const char *object, const char *verb)
{
	if (!doc_has_object(cli->doc, object))
		fprintf(stderr, "switchctl: there is no '%s'\n", object);
	else if (verb)
		fprintf(stderr, "switchctl: there is no '%s %s'\n", object,
			verb);
	else
		fprintf(stderr, "switchctl: '%s' needs a verb\n", object);
	if (help_write(stderr, cli->doc, object, NULL))
		fprintf(stderr, "Try 'switchctl help'.\n");
	return STATUS_USAGE;
}

static int command_call(struct cli *cli, int n, const char *const *words)
{
	const json_t *method;
	const char *name;
	struct error e = { 0 };
	json_t *params;
	int status = cli_open(cli, CALL_MS);

	if (status)
		return status;
	if (n < 2)
		return no_such(cli, words[0], NULL);
	method = doc_method(cli->doc, words[0], words[1]);
	if (!method)
		return no_such(cli, words[0], words[1]);
	name = json_string_value(json_object_get(method, "name"));
	params = params_from_words(method, n - 2, words + 2, &e);
	if (!params) {
		complain(name, -EINVAL, &e);
		fprintf(stderr, "Try 'switchctl help %s %s'.\n", words[0],
			words[1]);
		return STATUS_USAGE;
	}
	if (!strcmp(name, "event.subscribe"))
		return follow(cli, params);
	return call_print(cli, name, params);
}

/* ---- Help and completion ---- */

static int command_help(struct cli *cli, int n, const char *const *words)
{
	const char *object = n > 0 ? words[0] : NULL;
	const char *verb = n > 1 ? words[1] : NULL;
	int status;

	if (n > 2) {
		help_usage(stderr);
		return STATUS_USAGE;
	}
	status = cli_open(cli, CALL_MS);
	if (status) {
		help_usage(stdout);
		return status;
	}
	if (help_write(stdout, cli->doc, object, verb))
		return no_such(cli, object, verb);
	return STATUS_DONE;
}

static json_t *complete_call(const char *method, void *arg)
{
	const struct cli *cli = arg;
	json_t *result = NULL;

	if (rpc_client_call(cli->client, method, NULL, &result, NULL,
			    COMPLETE_MS, NULL))
		return NULL;
	return result;
}

/* Options before the words count; an option being typed has no candidates. */
static int command_complete(struct cli *cli, int n, const char *const *words)
{
	int i = 0;

	while (i < n - 1 && words[i][0] == '-') {
		if (!strcmp(words[i], "-s") && i + 1 < n - 1)
			cli->socket = words[++i];
		i++;
	}
	if (i >= n || words[i][0] == '-' || cli_open(cli, COMPLETE_MS))
		return STATUS_DONE;
	complete_write(stdout, cli->doc, n - i, words + i, complete_call, cli);
	return STATUS_DONE;
}

static int command_script(int n, const char *const *words)
{
	const char *script = n == 1 ? complete_script(words[0]) : NULL;

	if (!script) {
		help_usage(stderr);
		return STATUS_USAGE;
	}
	fputs(script, stdout);
	return STATUS_DONE;
}

static int command(struct cli *cli, int n, const char *const *words)
{
	if (!strcmp(words[0], "help"))
		return command_help(cli, n - 1, words + 1);
	if (!strcmp(words[0], "completion"))
		return command_script(n - 1, words + 1);
	if (!strcmp(words[0], "__complete"))
		return command_complete(cli, n - 1, words + 1);
	return command_call(cli, n, words);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct cli cli = { 0 };
	int opt, status;

	while ((opt = getopt_long(argc, argv, "+s:jhV", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			cli.socket = optarg;
			break;
		case 'j':
			cli.json = true;
			break;
		case 'h':
			help_usage(stdout);
			return STATUS_DONE;
		case 'V':
			puts("switchctl " PACKAGE_VERSION);
			return STATUS_DONE;
		default:
			help_usage(stderr);
			return STATUS_USAGE;
		}
	}
	if (optind == argc) {
		help_usage(stderr);
		return STATUS_USAGE;
	}
	status = command(&cli, argc - optind,
			 (const char *const *)(argv + optind));
	json_decref(cli.doc);
	rpc_client_free(cli.client);
	if (fflush(stdout) && !status) {
		perror("switchctl: standard output");
		status = STATUS_REFUSED;
	}
	return status;
}
