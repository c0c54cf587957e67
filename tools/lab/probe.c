/*
 * probe FROM_NS FROM_ADDRESS TO_NS TO_ADDRESS [-i MICROSECONDS] [-r MILLISECONDS] [-s BYTES] [-p PORT] [-e] [-w MS]
 *
 * A paced stream of UDP datagrams between two network namespaces of one kernel, both ends in one process: one clock
 * (CLOCK_MONOTONIC), one way by default, there and back with -e. -i is the pace (2000), -r how often a summary is
 * printed (100), -s the payload (64), -p the UDP port (7077; the next one is taken too). With -w it only asks whether
 * traffic flows: exit code 0 with the first datagram that comes through (with -e: back), 1 when none has within MS
 * milliseconds.
 *
 * stdout, JSON lines:
 *     {"ready": ns}                                       the stream begins
 *     {"t": ns, "sent": n, "lost": n, "delayUs": n, "maxUs": n, "total": n}
 *         one interval, reported one interval later, so that what is still under way is not called lost; delays are of
 *         what came through (mean and largest), total is every datagram ever sent
 *     {"dumped": FILE, "records": n}                      the answer to a line "dump FILE SINCE_NS" on stdin
 *     {"sent": n, "received": n, "duplicates": n, "stallUs": n, "refused": n, "errno": n}
 *         the end, after SIGTERM or end of file on stdin; stallUs is the longest time this process did not get to send:
 *         a machine under load, not the mesh. refused is what the kernel would not send, there or back, and errno why
 *         not, the last time
 * FILE gets, for each datagram in the order of sending, two little-endian 64-bit numbers: sent and received, in
 * nanoseconds, received 0 for a lost one. What the kernel refused to send counts as lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 7077

struct record {
	uint64_t sent, received;
};
static struct record *records;
static size_t count, room;
static uint64_t received, duplicates, refused;
static int refusal;
static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		errno = EINVAL;
		die(text);
	}
	return a;
}

static int socket_in(const char *ns, uint16_t port)
{
	char path[64];
	snprintf(path, sizeof path, "/run/netns/%s", ns);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(ns);
	close(fd);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Bound to the port only: the address may come and go with bat0 while the stream runs on. */
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int bytes = 4 << 20;
	if (s < 0 || bind(s, (struct sockaddr *)&any, sizeof any) < 0)
		die("socket");
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	return s;
}

static void send_to(int s, const char *data, size_t size, const struct sockaddr_in *to)
{
	if (sendto(s, data, size, 0, (const struct sockaddr *)to, sizeof *to) >= 0)
		return;
	refused++;
	refusal = errno;
}

/* Reads all that has arrived; with `echo` it goes back to where it came from, else it has arrived for good. */
static void drain(int s, bool echo)
{
	char data[2048];
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	uint64_t at = 0;
	for (ssize_t n; (n = recvfrom(s, data, sizeof data, 0, (struct sockaddr *)&from, &length)) >= 8; length = sizeof from) {
		if (echo) {
			send_to(s, data, (size_t)n, &from);
			continue;
		}
		if (at == 0)
			at = now();
		uint64_t sequence;
		memcpy(&sequence, data, sizeof sequence);
		if (sequence >= count)
			continue;
		if (records[sequence].received != 0)
			duplicates++;
		else
			records[sequence].received = at, received++;
	}
}

static void report(uint64_t at, size_t first, size_t end)
{
	uint64_t lost = 0, sum = 0, max = 0;
	for (size_t i = first; i < end; i++) {
		if (records[i].received == 0) {
			lost++;
			continue;
		}
		uint64_t delay = records[i].received - records[i].sent;
		sum += delay;
		if (delay > max)
			max = delay;
	}
	uint64_t came = end - first - lost;
	printf("{\"t\":%llu,\"sent\":%zu,\"lost\":%llu,\"delayUs\":%llu,\"maxUs\":%llu,\"total\":%zu}\n", (unsigned long long)at,
	       end - first, (unsigned long long)lost, (unsigned long long)(came ? sum / came / 1000 : 0),
	       (unsigned long long)(max / 1000), count);
}

static void dump(char *line)
{
	char path[512];
	unsigned long long since = 0;
	if (sscanf(line, "dump %511s %llu", path, &since) < 1)
		return;
	size_t first = 0, end = count;
	while (first < end) {
		size_t middle = first + (end - first) / 2;
		if (records[middle].sent < since)
			first = middle + 1;
		else
			end = middle;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	const char *from = (const char *)(records + first);
	size_t left = (count - first) * sizeof *records;
	for (ssize_t n; left > 0 && (n = write(fd, from, left)) > 0; from += n)
		left -= (size_t)n;
	if (fd < 0 || left > 0)
		die(path);
	close(fd);
	printf("{\"dumped\":\"%s\",\"records\":%zu}\n", path, count - first);
}

int main(int argc, char **argv)
{
	uint64_t pace = 2000, every = 100;
	size_t size = 64;
	uint64_t within = 0;
	uint16_t base = PORT;
	bool echo = false;
	for (int option; (option = getopt(argc, argv, "i:r:s:w:p:e")) != -1;)
		switch (option) {
		case 'i': pace = strtoull(optarg, NULL, 10); break;
		case 'r': every = strtoull(optarg, NULL, 10); break;
		case 's': size = strtoul(optarg, NULL, 10); break;
		case 'w': within = strtoull(optarg, NULL, 10); break;
		case 'p': base = (uint16_t)strtoul(optarg, NULL, 10); break;
		case 'e': echo = true; break;
		default: return 2;
		}
	if (argc - optind != 4 || pace == 0 || every == 0 || size < 8 || size > 1400) {
		fprintf(stderr, "usage: probe FROM_NS FROM_ADDRESS TO_NS TO_ADDRESS [-i us] [-r ms] [-s bytes] [-p port] [-e] [-w ms]\n");
		return 2;
	}
	address_of(argv[optind + 1], 0);
	struct sockaddr_in to = address_of(argv[optind + 3], PORT);
	/* One question at a time beside one stream between the same two routers. */
	uint16_t port = within ? (uint16_t)(base + 2) : base;
	to.sin_port = htons(port);
	int near = socket_in(argv[optind], (uint16_t)(port + 1));
	int far = socket_in(argv[optind + 2], port);
	struct sigaction action = {.sa_handler = stop};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	/* Agents and tools beside us must not make holes into the stream; where it is refused, stallUs tells. */
	struct sched_param priority = {.sched_priority = 10};
	sched_setscheduler(0, SCHED_FIFO, &priority);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pace *= 1000;
	every *= 1000000;

	char data[1400] = {0}, line[600];
	size_t have = 0;
	uint64_t at = now(), next = at, stall = 0, last = at;
	uint64_t report_at = at + 2 * every;
	size_t boundary[2] = {0, 0};
	uint64_t give_up = within ? at + within * 1000000 : 0;
	if (within)
		report_at = UINT64_MAX;
	else
		printf("{\"ready\":%llu}\n", (unsigned long long)at);
	struct pollfd polls[] = {{.fd = far, .events = POLLIN}, {.fd = near, .events = POLLIN}, {.fd = within ? -1 : 0, .events = POLLIN}};
	while (!stopping) {
		at = now();
		if (give_up && at > give_up)
			return 1;
		if (at >= next) {
			if (at - last > stall)
				stall = at - last;
			last = at;
			if (count == room) {
				room = room ? room * 2 : 8192;
				records = realloc(records, room * sizeof *records);
				if (records == NULL)
					die("records");
			}
			uint64_t sequence = count;
			memcpy(data, &sequence, sizeof sequence);
			records[count++] = (struct record){.sent = at};
			send_to(near, data, size, &to);
			/* Time that was missed is not made up for: a burst would be another load than a paced stream. */
			next += pace;
			if (next <= at)
				next = at + pace;
			if (at >= report_at) {
				report(at - every, boundary[0], boundary[1]);
				boundary[0] = boundary[1];
				boundary[1] = count;
				report_at += every;
			} else if (boundary[1] == 0 && !within && at >= report_at - every) {
				boundary[1] = count;
			}
			at = now();
		}
		int64_t wait = (int64_t)(next - at);
		struct timespec timeout = {.tv_sec = 0, .tv_nsec = wait > 0 ? wait : 0};
		if (wait > 999999999)
			timeout = (struct timespec){.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
		if (ppoll(polls, 3, &timeout, NULL) <= 0)
			continue;
		if (polls[0].revents)
			drain(far, echo);
		if (polls[1].revents)
			drain(near, false);
		if (within) {
			if (received > 0)
				return 0;
			continue;
		}
		if (polls[2].revents) {
			ssize_t n = read(0, line + have, sizeof line - 1 - have);
			if (n <= 0)
				break;
			have += (size_t)n;
			line[have] = 0;
			for (char *end; (end = strchr(line, '\n')) != NULL;) {
				*end = 0;
				dump(line);
				have -= (size_t)(end + 1 - line);
				memmove(line, end + 1, have + 1);
			}
			if (have == sizeof line - 1)
				have = 0;
		}
	}
	printf("{\"sent\":%zu,\"received\":%llu,\"duplicates\":%llu,\"stallUs\":%llu,\"refused\":%llu,\"errno\":%d}\n", count,
	       (unsigned long long)received, (unsigned long long)duplicates, (unsigned long long)(stall / 1000),
	       (unsigned long long)refused, refusal);
	return 0;
}
