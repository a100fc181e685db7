/*
 * monitor_internal - what the files monitor*.c share; nobody else includes it
 *
 * monitor.c has the loop, the processes and the signals, monitor_calls.c
 * answers the switch's calls, monitor_upgrade.c goes from one program to the
 * next, monitor_settings.c reads what root says.
 */
#ifndef SWITCHD_MONITOR_INTERNAL_H
#define SWITCHD_MONITOR_INTERNAL_H

#include "control/rpc_listen.h"
#include "switchd/config.h"
#include "switchd/grants.h"
#include "switchd/monitor.h"
#include "switchd/proto.h"

#include <limits.h>

/* A switch process; its slot is its index. */
struct child {
	pid_t pid;	      /* 0: there is none */
	int calls, orders;    /* our ends; -1 */
	int kept[KEEP_COUNT]; /* its memory; -1: none */
	bool running;	      /* has said so */
	uint64_t started_ns, alive_ns;
};

enum upgrade {
	UPGRADE_NONE,
	UPGRADE_LOADING,  /* the new one; until READY */
	UPGRADE_STOPPING, /* the old one; until STOPPED */
	UPGRADE_TAKING,	  /* the new one; until RUNNING */
	UPGRADE_LEAVING,  /* the old one; until it has ended */
};

struct monitor {
	const struct monitor_options *options;
	char exe[PATH_MAX]; /* the installed program */
	struct config_daemon settings;
	json_t *daemon; /* the configuration's object; NULL: none */
	struct policy policy;
	uid_t uid; /* of the switch */
	gid_t gid;
	gid_t socket_gid;
	struct rpc_listener control, helper;
	struct grants grants;
	struct fastpath_kernel *fastpath; /* NULL: none, and why */
	char no_fastpath[PROTO_TEXT];
	struct child child[GRANTS_SLOTS];
	unsigned int active; /* the slot that forwards */
	enum upgrade upgrade;
	uint64_t upgrade_ns; /* until when it has to have got on */
	char upgrade_version[64];
	uint64_t halt_ns; /* since when nobody forwards */
	uint32_t restarts;
	unsigned int quick;  /* deaths in a row that came early */
	uint64_t restart_ns; /* when to start it again; 0: it runs */
	uint64_t died_ns;
	uint64_t started_ns, watchdog_ns, watchdog_due_ns;
	int signal_fd;
	bool ready, stopping, over;
	uint64_t heard_ns; /* while stopping: the switch's last call */
	bool again;	   /* an upgrade was asked for while one was ending */
	bool reload;	   /* HUP, and the switch hasn't begun to reload yet */
	int status;
};

/* The slot of an upgrade's other switch. */
static inline unsigned int monitor_other(const struct monitor *m)
{
	return 1 - m->active;
}

/* An argument vector for a process to come, and how much of it is for the
 * monitor's own arguments and the NULL. */
#define MONITOR_ARGS_MAX 64
#define MONITOR_ARGS_OWN 3

/* ---- monitor.c ---- */

/* Copy the command line to argv[MONITOR_ARGS_MAX]; returns how many words. */
unsigned int monitor_argv(const struct monitor *m, char **argv);

/* Start a switch in a slot, which is free. exe: the program. 0 or -errno. */
int monitor_child_start(struct monitor *m, unsigned int slot, const char *exe)
	__attribute__((warn_unused_result));

/* Make an end of it; its end is noticed in the loop. */
void monitor_child_kill(struct monitor *m, unsigned int slot);

/* The same, and wait until it is gone. */
void monitor_child_end(struct monitor *m, unsigned int slot);

/* Tell it something; *m is filled by the caller but for the header. */
void monitor_tell(struct monitor *m, unsigned int slot, enum proto_type order,
		  struct proto_msg *msg);

/* Tell the switch of a HUP that it hasn't heard of; later where there is none
 * just now, or two. */
void monitor_reload(struct monitor *m);

/* Its memory is needed no more. */
void monitor_drop_kept(struct child *c);

/* ---- monitor_settings.c ---- */

/*
 * Read the root-owned part of the configuration file. *fd: the file, open for
 * reading, -1 where there is none (fd may be NULL). Returns 0 or -errno with
 * *err, and what was in force stays so.
 */
int monitor_settings_load(struct monitor *m, int *fd, struct error *err)
	__attribute__((warn_unused_result));

/* m->grants, with room for what m->settings say. */
void monitor_grants_init(struct monitor *m);

/* m->fastpath, if m->settings want it and the kernel has it; a fresh start's.
 */
void monitor_fastpath_make(struct monitor *m);

/* It is there: who sets devices up has to know. */
void monitor_fastpath_use(struct monitor *m, struct fastpath_kernel *k);

/* Whom the switch runs as, and where it listens, at a fresh start. 0 or -errno
 * with *err. */
int monitor_find_user(struct monitor *m, struct error *err)
	__attribute__((warn_unused_result));
int monitor_listen(struct monitor *m, struct error *err)
	__attribute__((warn_unused_result));

/* Whoever has a listening socket can shut it down for everybody, as a switch
 * gone mad may have: such ones are opened anew, which it may say can't be. */
void monitor_listen_again(struct monitor *m);

/* ---- monitor_calls.c ---- */

/* Answer a slot's next call. Returns 0, or -errno: the channel is broken. */
int monitor_call(struct monitor *m, unsigned int slot)
	__attribute__((warn_unused_result));

/* ---- monitor_upgrade.c ---- */

void monitor_upgrade_begin(struct monitor *m);
/* The new one says READY, RUNNING; the old one says STOPPED. */
void monitor_upgrade_word(struct monitor *m, unsigned int slot,
			  const struct proto_msg *word);
/* A switch process has ended. Returns whether that was the upgrade's affair. */
bool monitor_upgrade_ended(struct monitor *m, unsigned int slot);
/* It hasn't got on in time. */
void monitor_upgrade_late(struct monitor *m);
/* Go back to the old switch. */
void monitor_upgrade_fail(struct monitor *m, const struct error *err);

/* Read what the program before has left (options->resume_fd). 0 or -errno. */
int monitor_resume(struct monitor *m) __attribute__((warn_unused_result));
/* Become the program before again; returns where that fails. */
void monitor_fall_back(struct monitor *m);

#endif
