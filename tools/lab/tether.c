/*
 * tether DIR PROGRAM ARG...: runs PROGRAM in a process group of its own and makes sure that nothing of it outlives us.
 *
 * A user-mode Linux is a family of processes that trace each other; when the first one is killed alone, the others can
 * stay behind. So: when our parent dies, when somebody signals us, or when PROGRAM ends, the whole group gets SIGKILL
 * and DIR (the kernel's temporary directory) is removed. The exit code is PROGRAM's, or 128 + the signal's number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path), 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: tether DIR PROGRAM ARG...\n");
		return 2;
	}
	pid_t parent = getppid();
	sigset_t all, before;
	sigemptyset(&all);
	const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD};
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		sigaddset(&all, ends[i]);
	sigprocmask(SIG_BLOCK, &all, &before);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* Grandchildren of a killed kernel come to us, so that we can wait for them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (getppid() != parent)
		return 1;

	pid_t child = fork();
	if (child < 0) {
		perror("tether: fork");
		return 1;
	}
	if (child == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "tether: %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	setpgid(child, child);

	int code = -1, signal = 0;
	while (code < 0) {
		sigwait(&all, &signal);
		if (signal != SIGCHLD) {
			code = 128 + signal;
			break;
		}
		int status;
		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
			if (pid == child)
				code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	kill(-child, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	nftw(argv[1], drop, 16, FTW_DEPTH | FTW_PHYS);
	return code;
}
