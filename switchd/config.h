/*
 * config - the configuration file and config.apply
 *
 * A configuration is one JSON object:
 *
 *	{ "daemon":   what is fixed for the life of the process,
 *	  "switch":   as switch.set takes it,
 *	  "profiles": { NAME: port parameters },
 *	  "ports":    [ { "name": NAME, port parameters } ],
 *	  "listeners": [ as listener.add takes it ],
 *	  "mirrors":  [ as mirror.add takes it ],
 *	  "fdb":      [ as fdb.add takes it ] }
 *
 * The same tables check it as check the control socket. Everything is checked
 * before anything is changed; what is then refused by a device is undone.
 * Mirrors and static addresses may name ports that aren't there: they wait for
 * them, so that what is saved while a guest runs can be read without it. The
 * running switch is brought from what it is to what is wanted: ports that are
 * the same see no interruption; ports that were attached by hand or by a
 * guest's script, listeners, mirrors and static addresses that were added by
 * hand stay. A listener's ports are what it says, and go with it.
 *
 * Threads: main.
 */
#ifndef SWITCHD_CONFIG_H
#define SWITCHD_CONFIG_H

#include "switchd/switch.h"

#define CONFIG_PATH_MAX 108 /* sockaddr_un's */

/* The "daemon" object: read once at start. */
struct config_daemon {
	char user[64];			     /* "" = default */
	char socket[CONFIG_PATH_MAX];	     /* "" = default */
	char socket_group[64];		     /* "" = default */
	char helper_socket[CONFIG_PATH_MAX]; /* "" = beside `socket` */
	char helper_acl[PORT_PATH_MAX];
	uint32_t helper_max; /* ports a user may hold through the helper */
	uint32_t workers;    /* 0 = default */
	uint32_t ports_max, fdb_entries;
	bool fast_path; /* if the kernel has it */
};

/* Tables that the methods share with the file. */
extern const struct rpc_param config_switch_params[];
extern const struct rpc_param config_mirror_params[];
extern const struct rpc_param config_fdb_params[];

/*
 * Open a file to read it. Returns a descriptor or -errno with *err.
 */
int config_open(const char *file, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Read and check what fd has, from its beginning; fd is closed. Returns the
 * configuration, a new reference, or NULL with *err: the message begins with
 * "FILE:LINE: ", err->path is set where a parameter is to blame.
 */
json_t *config_load(int fd, const char *file, struct error *err);

/* Check a whole configuration. Returns 0 or -EINVAL with *err. */
int config_check(const json_t *config, struct error *err)
	__attribute__((warn_unused_result));

/* The "daemon" object of a checked configuration (NULL: defaults). */
void config_daemon(const json_t *config, struct config_daemon *out);

/* What `apply` did. */
struct config_changes {
	unsigned int attached, detached, changed, unchanged;
};

/*
 * Bring the switch to a checked configuration. Returns 0, or -errno with *err
 * and the switch as it was before: profile-in-use, too-many-mirrors, and what
 * switch_attach, switch_port_set, switch_mirror_add and switch_static_add say.
 */
int config_apply(struct sw *sw, const json_t *config,
		 struct config_changes *changes, struct error *err)
	__attribute__((warn_unused_result));

/* May this checked configuration be applied? 0, or -errno with *err. */
typedef int config_vet_fn(const json_t *config, void *ctx, struct error *err);

/*
 * The same for a file, which is read and checked first; fd is closed. Errors
 * name file, line and path. `vet` (may be NULL) is asked before anything
 * changes. `out` (may be NULL) gets a new reference to what was read, on
 * success only. Returns 0 or -errno with *err.
 */
int config_apply_file(struct sw *sw, int fd, const char *file,
		      config_vet_fn *vet, void *ctx, json_t **out,
		      struct config_changes *changes, struct error *err)
	__attribute__((warn_unused_result));

/* The running configuration as such an object (a new reference), with
 * `daemon` (may be NULL) as its daemon object. */
json_t *config_show(struct sw *sw, const json_t *daemon);

/*
 * Write a configuration to a file, through symbolic links, by way of a
 * temporary one beside it: synced, renamed, with the old file's owner and mode
 * (0640 where there is none). Returns 0 or -errno.
 */
int config_replace(const char *file, const json_t *config)
	__attribute__((warn_unused_result));

/* The same into an open file. Synced. Returns 0 or -errno. */
int config_write(int fd, const json_t *config)
	__attribute__((warn_unused_result));

/*
 * Save the running configuration by write(ctx, file, config, err), which is
 * config_replace() or somebody who may. `file` is an absolute path, or the file
 * that the daemon reads: then (`own`) ports, mirrors and static addresses that
 * came by hand count as configured from then on. Returns 0, or -errno with
 * *err: bad-value, cannot-save; the path says what couldn't be read again.
 */
typedef int config_write_fn(void *ctx, const char *file, const json_t *config,
			    struct error *err);
int config_save(struct sw *sw, const json_t *daemon, const char *file, bool own,
		config_write_fn *write, void *ctx, struct error *err)
	__attribute__((warn_unused_result));

/* Read the parameters of switch.set on top of *s. */
int config_settings(const json_t *params, struct switch_settings *s,
		    struct error *err) __attribute__((warn_unused_result));

/* The same as an object, for show. */
json_t *config_settings_show(const struct switch_settings *s);

/* The line (from 1) in which a value stands, found by its path such as
 * "ports[2].vlan"; where a part of the path is missing, the line of what it
 * is missing from. `text` is valid JSON. */
unsigned int config_line(const char *text, const char *path);

#endif
