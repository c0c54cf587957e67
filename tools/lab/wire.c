/*
 * wire: changes links of any network namespace on command, with the instant of the change.
 *
 * A line on stdin holds one or more changes, separated by ';'; they are made back to back:
 *
 *     up NS IF | down NS IF | del NS IF | master NS IF BRIDGE | nomaster NS IF
 *     mute NS IF | unmute NS IF           a bridge port that forwards nothing, its carrier stays
 *     block NS IF MAC PRIO                frames from MAC do not leave through IF (clsact must be there)
 *     unblock NS IF PRIO
 *
 * The answer is one JSON line: {"ns": before the first change, "doneNs": after the last} in CLOCK_MONOTONIC
 * nanoseconds, and "error" with the first change that the kernel refused. Neighbouring changes of one namespace go to
 * the kernel in one system call, so that both ends of a cable lose their carrier within some 100 us of each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct space {
	char name[32];
	int rtnl;
	int ioctl;
};
static struct space spaces[256];
static size_t space_count;

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The sockets of a namespace stay in it, wherever we are: opened once. "-" is the namespace that we started in. */
static struct space *space_of(const char *name, int home)
{
	for (size_t i = 0; i < space_count; i++)
		if (strcmp(spaces[i].name, name) == 0)
			return &spaces[i];
	if (space_count == sizeof spaces / sizeof *spaces)
		return NULL;
	char path[64];
	snprintf(path, sizeof path, "/run/netns/%s", name);
	bool elsewhere = strcmp(name, "-") != 0;
	if (elsewhere) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return NULL;
		int entered = setns(fd, CLONE_NEWNET);
		close(fd);
		if (entered < 0)
			return NULL;
	}
	struct space *s = &spaces[space_count];
	snprintf(s->name, sizeof s->name, "%s", name);
	s->rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	s->ioctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (elsewhere && setns(home, CLONE_NEWNET) < 0)
		exit(1);
	if (s->rtnl < 0 || s->ioctl < 0)
		return NULL;
	space_count++;
	return s;
}

static int index_of(struct space *s, const char *name)
{
	struct ifreq request = {0};
	snprintf(request.ifr_name, sizeof request.ifr_name, "%.15s", name);
	return ioctl(s->ioctl, SIOCGIFINDEX, &request) < 0 ? 0 : request.ifr_ifindex;
}

/* One batch of messages for one namespace. */
static _Alignas(8) char batch[16384];
static size_t used;
static int pending;
static struct space *target;
static char failure[256];
/* When this line's first change went to the kernel. */
static uint64_t start;

static struct nlmsghdr *begin(uint16_t type, uint16_t flags, const void *header, size_t size)
{
	struct nlmsghdr *m = (struct nlmsghdr *)(batch + used);
	memset(m, 0, NLMSG_SPACE(size));
	m->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	m->nlmsg_type = type;
	m->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	m->nlmsg_seq = (uint32_t)++pending;
	memcpy(NLMSG_DATA(m), header, size);
	return m;
}

static struct rtattr *put(struct nlmsghdr *m, uint16_t type, const void *data, size_t size)
{
	struct rtattr *a = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->nlmsg_len));
	memset(a, 0, RTA_SPACE(size));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(a), data, size);
	m->nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->nlmsg_len) + RTA_SPACE(size));
	return a;
}

static void close_nest(struct nlmsghdr *m, struct rtattr *a)
{
	a->rta_len = (uint16_t)((char *)m + m->nlmsg_len - (char *)a);
}

static void flush(void)
{
	if (used == 0)
		return;
	if (start == 0)
		start = now();
	if (send(target->rtnl, batch, used, 0) < 0)
		snprintf(failure, sizeof failure, "send: %s", strerror(errno));
	for (int left = failure[0] ? 0 : pending; left > 0;) {
		_Alignas(8) char in[8192];
		ssize_t n = recv(target->rtnl, in, sizeof in, 0);
		if (n < 0) {
			snprintf(failure, sizeof failure, "recv: %s", strerror(errno));
			break;
		}
		for (struct nlmsghdr *m = (struct nlmsghdr *)in; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
			if (m->nlmsg_type != NLMSG_ERROR)
				continue;
			left--;
			int error = ((struct nlmsgerr *)NLMSG_DATA(m))->error;
			if (error != 0 && !failure[0])
				snprintf(failure, sizeof failure, "change %u: %s", m->nlmsg_seq, strerror(-error));
		}
	}
	used = 0;
	pending = 0;
}

static void change(char *text, int home)
{
	char op[16], ns[32], name[16], third[32] = "", fourth[16] = "";
	if (sscanf(text, " %15s %31s %15s %31s %15s", op, ns, name, third, fourth) < 3) {
		snprintf(failure, sizeof failure, "not a change: %.100s", text);
		return;
	}
	struct space *s = space_of(ns, home);
	int index = s ? index_of(s, name) : 0;
	if (index == 0) {
		snprintf(failure, sizeof failure, "%s: no interface %s in %s", op, name, ns);
		return;
	}
	if (s != target || used > sizeof batch / 2)
		flush();
	target = s;

	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *m;
	if (strcmp(op, "up") == 0 || strcmp(op, "down") == 0) {
		link.ifi_change = IFF_UP;
		link.ifi_flags = op[0] == 'u' ? IFF_UP : 0;
		m = begin(RTM_NEWLINK, 0, &link, sizeof link);
	} else if (strcmp(op, "del") == 0) {
		m = begin(RTM_DELLINK, 0, &link, sizeof link);
	} else if (strcmp(op, "master") == 0 || strcmp(op, "nomaster") == 0) {
		uint32_t master = op[0] == 'm' ? (uint32_t)index_of(s, third) : 0;
		m = begin(RTM_NEWLINK, 0, &link, sizeof link);
		put(m, IFLA_MASTER, &master, sizeof master);
	} else if (strcmp(op, "mute") == 0 || strcmp(op, "unmute") == 0) {
		uint8_t state = op[0] == 'm' ? BR_STATE_DISABLED : BR_STATE_FORWARDING;
		link.ifi_family = AF_BRIDGE;
		m = begin(RTM_SETLINK, 0, &link, sizeof link);
		struct rtattr *port = put(m, IFLA_PROTINFO | NLA_F_NESTED, NULL, 0);
		put(m, IFLA_BRPORT_STATE, &state, sizeof state);
		close_nest(m, port);
	} else if (strcmp(op, "block") == 0 || strcmp(op, "unblock") == 0) {
		bool block = op[0] == 'b';
		uint32_t prio = (uint32_t)atoi(block ? fourth : third);
		struct tcmsg filter = {
			.tcm_ifindex = index,
			.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
			.tcm_info = TC_H_MAKE(prio << 16, htons(ETH_P_ALL)),
		};
		m = begin(block ? RTM_NEWTFILTER : RTM_DELTFILTER, block ? NLM_F_CREATE | NLM_F_EXCL : 0, &filter, sizeof filter);
		if (block) {
			unsigned char mac[6], mask[6] = {255, 255, 255, 255, 255, 255};
			if (sscanf(third, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
				snprintf(failure, sizeof failure, "not a MAC address: %s", third);
				pending--;
				return;
			}
			struct tc_gact drop = {.action = TC_ACT_SHOT};
			put(m, TCA_KIND, "flower", 7);
			struct rtattr *options = put(m, TCA_OPTIONS | NLA_F_NESTED, NULL, 0);
			put(m, TCA_FLOWER_KEY_ETH_SRC, mac, 6);
			put(m, TCA_FLOWER_KEY_ETH_SRC_MASK, mask, 6);
			struct rtattr *actions = put(m, TCA_FLOWER_ACT | NLA_F_NESTED, NULL, 0);
			struct rtattr *first = put(m, 1 | NLA_F_NESTED, NULL, 0);
			put(m, TCA_ACT_KIND, "gact", 5);
			struct rtattr *parms = put(m, TCA_ACT_OPTIONS | NLA_F_NESTED, NULL, 0);
			put(m, TCA_GACT_PARMS, &drop, sizeof drop);
			close_nest(m, parms);
			close_nest(m, first);
			close_nest(m, actions);
			close_nest(m, options);
		} else {
			put(m, TCA_KIND, "flower", 7);
		}
	} else {
		snprintf(failure, sizeof failure, "no such change: %s", op);
		return;
	}
	used += NLMSG_ALIGN(m->nlmsg_len);
}

int main(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	char *line = NULL;
	size_t room = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &room, stdin) > 0) {
		failure[0] = 0;
		/* Namespaces and names are looked up first, so that the clock is read right before the change. */
		used = 0;
		pending = 0;
		target = NULL;
		start = 0;
		char *rest = line;
		for (char *text; (text = strsep(&rest, ";\n")) != NULL && !failure[0];)
			if (text[strspn(text, " ")] != 0)
				change(text, home);
		if (!failure[0])
			flush();
		uint64_t done = now();
		if (failure[0])
			printf("{\"ns\":%llu,\"doneNs\":%llu,\"error\":\"%s\"}\n", (unsigned long long)start, (unsigned long long)done, failure);
		else
			printf("{\"ns\":%llu,\"doneNs\":%llu}\n", (unsigned long long)start, (unsigned long long)done);
	}
	return 0;
}
