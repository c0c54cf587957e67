/*
 * x0init: the first process of a jail that has a PID namespace of its own, as procd's has.
 *
 *     x0init PROGRAM [ARGUMENT...]
 *
 * When the first process of such a namespace ends, the kernel kills all others. Were that the agent, its undo helper would
 * die with it by kill -9, and what a repair had changed would stay changed. So this one starts the agent, hands signals on
 * to it, and ends when the last process has ended, with the agent's exit code (128 + the signal that killed it).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t agent;

static void hand_on(int signal) {
  if (agent > 0) kill(agent, signal);
}

int main(int argc, char **argv) {
  static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
  if (argc < 2) {
    fprintf(stderr, "usage: x0init PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  /* Held back until there is somebody to hand them to. */
  sigset_t held, before;
  sigemptyset(&held);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&held, signals[i]);
  sigprocmask(SIG_BLOCK, &held, &before);
  pid_t child = fork();
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, NULL);
    execvp(argv[1], argv + 1);
    fprintf(stderr, "x0init: %s cannot be run: %s\n", argv[1], strerror(errno));
    _exit(127);
  }
  if (child < 0) {
    fprintf(stderr, "x0init: no process for %s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  agent = child;
  struct sigaction action = {.sa_handler = hand_on, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  sigprocmask(SIG_SETMASK, &before, NULL);

  int code = 1;
  for (;;) {
    int status;
    pid_t ended = wait(&status);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) return code; /* nobody is left */
    if (ended != child) continue;
    agent = 0;
    code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}
