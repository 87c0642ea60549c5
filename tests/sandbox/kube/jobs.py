# SPDX-License-Identifier: Apache-2.0
"""Jobs: a pod that starts, writes lines, and ends well or badly. `rules` says how, by the job's name."""

import re
import secrets

from .kinds import CRON_JOB, JOB, POD
from .store import now


class Jobs:
    def __init__(self, behave):
        self.b = behave
        self.rules = []                 # {"name": regex, "outcome", "lines", "run_ms"}

    @property
    def store(self):
        return self.b.store

    def rule(self, name, key, default):
        for rule in self.rules:
            if re.search(rule.get("name", ""), name) and key in rule:
                return rule[key]
        return default

    def on_change(self, job):
        meta = job["metadata"]
        if (job.get("status") or {}).get("conditions") or job["spec"].get("managedBy"):
            suspended = any(c["type"] == "Suspended" and c["status"] == "True" for c in job["status"]["conditions"]) \
                if job.get("status") else False
            if not (suspended and not job["spec"].get("suspend")):
                return
        if job["spec"].get("suspend"):
            self.b.later(("job", meta["uid"]), 0, self.suspend, meta["namespace"], meta["name"])
        elif not (job.get("status") or {}).get("startTime"):
            self.b.later(("job", meta["uid"]), self.b.settings("job_start_ms"), self.begin, meta["namespace"],
                         meta["name"])

    def job(self, ns, name):
        return self.store.peek(JOB, ns, name)

    def suspend(self, ns, name):
        job = self.job(ns, name)
        if job:
            self.store.set_status(JOB, job, {"conditions": [self.condition("Suspended", "JobSuspended",
                                                                           "Job suspended")]})

    @staticmethod
    def condition(type_, reason, message):
        at = now()
        return {"type": type_, "status": "True", "lastProbeTime": at, "lastTransitionTime": at, "reason": reason,
                "message": message}

    def begin(self, ns, name, failed=0):
        job = self.job(ns, name)
        if job is None:
            return
        status = {"startTime": (job.get("status") or {}).get("startTime") or now(), "active": 1, "ready": 0,
                  "terminating": 0, "uncountedTerminatedPods": {}}
        if failed:
            status["failed"] = failed
        job = self.store.set_status(JOB, job, status)
        template = job["spec"]["template"]
        pod = self.b.make(POD, ns, f"{name[:57]}-{secrets.token_hex(3)[:5]}", job,
                          (template.get("metadata") or {}).get("labels"),
                          spec={**template["spec"], "nodeName": "node-1"},
                          status=self.b.pod_status(template["spec"], False, None))
        self.b.event(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", "Normal", "job-controller")
        stuck = self.b.server.stuck.get((ns, name))
        if stuck:
            self.store.set_status(POD, pod, self.b.pod_status(template["spec"], False, stuck))
            return
        self.b.later(("run", job["metadata"]["uid"]), self.b.settings("job_start_ms"), self.run, ns, name,
                     pod["metadata"]["name"], failed)

    def run(self, ns, name, pod_name, failed):
        job, pod = self.job(ns, name), self.store.peek(POD, ns, pod_name)
        if job is None or pod is None:
            return
        self.store.set_status(POD, pod, self.b.pod_status(pod["spec"], True, None))
        self.store.set_status(JOB, job, {**job["status"], "ready": 1})
        lines = self.rule(name, "lines", self.b.settings("job_lines"))
        if type(lines) is int:
            lines = [f"{name}: step {i + 1} of {lines}" for i in range(lines)]
        self.say(ns, name, pod_name, lines, 0, failed)

    def say(self, ns, name, pod_name, lines, at, failed):
        job, pod = self.job(ns, name), self.store.peek(POD, ns, pod_name)
        if job is None or pod is None:
            return
        book = self.b.server.logs.book(ns, pod_name, pod["spec"]["containers"][0]["name"])
        run_ms = self.rule(name, "run_ms", self.b.settings("job_run_ms"))
        uid = job["metadata"]["uid"]
        if at < len(lines):
            book.write(lines[at])
            self.b.later(("say", uid), run_ms / max(1, len(lines)), self.say, ns, name, pod_name, lines, at + 1, failed)
            return
        outcome = self.rule(name, "outcome", "complete")
        if outcome != "hang":
            self.end_pod(pod, outcome, book)
            self.b.later(("end", uid), self.b.settings("job_finish_ms"), self.end, ns, name, outcome, failed)

    def end_pod(self, pod, outcome, book):
        good = outcome == "complete"
        status = self.b.pod_status(pod["spec"], False, None)
        ended = {"exitCode": 0 if good else 1, "reason": "Completed" if good else "Error", "finishedAt": now()}
        for c in status["containerStatuses"]:
            c["state"] = {"terminated": ended}
        status["phase"] = "Succeeded" if good else "Failed"
        status["conditions"][0]["reason"] = "PodCompleted" if good else "PodFailed"
        self.store.set_status(POD, pod, status)
        book.end()

    def end(self, ns, name, outcome, failed):
        job = self.job(ns, name)
        if job is None:
            return
        status = {k: v for k, v in job["status"].items() if k not in ("active", "ready")}
        status["ready"] = 0
        if outcome == "complete":
            status["succeeded"] = 1
            early = self.condition("SuccessCriteriaMet", "CompletionsReached",
                                   "Reached expected number of succeeded pods")
            final = self.condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        else:
            failed += 1
            status["failed"] = failed
            if failed <= job["spec"].get("backoffLimit", 6):
                self.store.set_status(JOB, job, status)
                self.begin(ns, name, failed)
                return
            words = "Job has reached the specified backoff limit"
            early = self.condition("FailureTarget", "BackoffLimitExceeded", words)
            final = self.condition("Failed", "BackoffLimitExceeded", words)
            self.b.event(job, "BackoffLimitExceeded", words, "Warning", "job-controller")
        job = self.store.set_status(JOB, job, {**status, "conditions": [early]})
        self.b.later(("final", job["metadata"]["uid"]), self.b.settings("job_finish_ms"), self.finish, ns, name, final)

    def finish(self, ns, name, final):
        job = self.job(ns, name)
        if job is None:
            return
        status = {**job["status"], "conditions": job["status"]["conditions"] + [final]}
        if final["type"] == "Complete":
            status["completionTime"] = now()
            self.b.event(job, "Completed", "Job completed", "Normal", "job-controller")
        job = self.store.set_status(JOB, job, status)
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is not None:
            self.b.later(("ttl", job["metadata"]["uid"]), ttl * 1000, self.clean, ns, name)
        self.history(job)

    def clean(self, ns, name):
        job = self.job(ns, name)
        if job:
            self.store.delete(JOB, job)
            self.b.collect(job["metadata"]["uid"], ns, "Background")

    def history(self, job):
        """A CronJob's controller deletes what is beyond its history limits."""
        owner = next((r for r in job["metadata"].get("ownerReferences") or []
                      if r["kind"] == "CronJob" and r.get("controller")), None)
        ns = job["metadata"]["namespace"]
        cron = owner and self.store.peek(CRON_JOB, ns, owner["name"])
        if not cron or cron["metadata"]["uid"] != owner["uid"]:
            return
        for type_, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            ended = [j for j in self.b.owned(JOB, cron) if any(
                c["type"] == type_ for c in (j.get("status") or {}).get("conditions") or [])]
            ended.sort(key=lambda j: int(j["metadata"]["resourceVersion"]))
            for old in ended[:max(0, len(ended) - cron["spec"].get(field, 3))]:
                self.b.later(("history", old["metadata"]["uid"]), 50, self.clean, ns, old["metadata"]["name"])
