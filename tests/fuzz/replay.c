/*
 * replay - runs a fuzz target over files, once each
 *
 * The main program of a target that isn't built with libFuzzer: a corpus, or
 * the one input that a fuzzer found, goes through the target under any
 * compiler, sanitizer or debugger. Arguments are files and folders of files
 * (not deeper); one TAP line each.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLAY_INPUT_MAX (1 << 20) /* libFuzzer's own limit for a corpus */

/* The target's, as https://llvm.org/docs/LibFuzzer.html has them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned int inputs;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *all = malloc(REPLAY_INPUT_MAX);
	uint8_t *data = NULL;
	size_t n;
	int ret = -1;

	if (!f || !all)
		goto out;
	n = fread(all, 1, REPLAY_INPUT_MAX, f);
	if (ferror(f))
		goto out;
	/* Exactly as long as the input: a read past its end is seen. */
	data = malloc(n ? n : 1);
	if (!data)
		goto out;
	memcpy(data, all, n);
	fprintf(stderr, "%s\n", path); /* the last one is who crashed */
	LLVMFuzzerTestOneInput(data, n);
	printf("ok %u - %s\n", ++inputs, path);
	fflush(stdout);
	ret = 0;
out:
	if (ret < 0)
		perror(path);
	free(data);
	free(all);
	if (f)
		fclose(f);
	return ret;
}

static int replay_folder(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);
	int ret = 0;

	if (n < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && replay_file(file) < 0)
			ret = -1;
		free(list[i]);
	}
	free(list);
	return ret;
}

int main(int argc, char **argv)
{
	int ret = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		int err;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			err = replay_folder(argv[i]);
		else
			err = replay_file(argv[i]);
		if (err < 0)
			ret = 1;
	}
	printf("1..%u\n", inputs);
	return inputs ? ret : 1; /* no input at all proves nothing */
}
