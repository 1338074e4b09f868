"""The queue's verbs in random order, against a real Valkey and against a model of them in plain Python."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from api.core.log_tail import LogTail
from api.core.observation import AttemptId
from api.core.task import Reason
from api.queue.queue import Queue
from api.queue.shapes import Accepted, QueueLimits, Refused, Retention, Slot, Submission
from runner.attempt import read_attempt
from runner.connect import connect, connect_async
from runner.contract import ENDS, MOVES, DeliveryStatus, Env, State, key_prefix
from runner.delivery.post import Try
from runner.delivery.tries import Sent
from runner.outcome import Outcome
from runner.report import Refused as RunnerRefused
from runner.report import Report, Staged
from tests.support.rooms import room_for

TYPES = ("fast", "slow")
INPUT = '{"n":1}'
BODY = b'{"outcome":"of a task"}'
BODIES = (BODY, b'"' + b"x" * 2000 + b'"')
TASK_BYTES = 1024
MOST_BYTES = TASK_BYTES + 3_000
LOG_ENTRY_BYTES = 512 + len("0a note\n")
MOST_LOG_BYTES = 256 * 1024
RECEIVERS = ("127.0.0.1", "127.0.0.1:1")
OPEN = {DeliveryStatus.PENDING, DeliveryStatus.SENDING}
PREFIX = key_prefix("model")
LIMITS = QueueLimits(
    max_length=6,
    max_bytes=10_000,
    kept_max_bytes=1_000_000,
    undelivered_max_bytes=9_000,
    undelivered_max_bytes_per_receiver=5_000,
)
HOUR_SECONDS = 3600.0


@dataclass
class ModelTask:
    """What the model knows of a task."""

    task_id: str
    task_type: str
    priority: int
    has_callback: bool
    state: State = State.QUEUED
    attempt: int = 0
    token: str = ""
    losses: int = 0
    tenths: int = 0
    delivery: DeliveryStatus = DeliveryStatus.NONE
    tries: int = 0
    tries_since: int = 0
    slots: set[int] = field(default_factory=set)
    suspended: set[int] = field(default_factory=set)
    holder: str | None = None
    staged: bool = False
    receiver: str | None = None
    dropped: bool = False
    body: bytes = BODY
    moved: bool = False
    logs: dict[int, bytes] = field(default_factory=dict)

    def move(self, state: State) -> None:
        assert state in MOVES[self.state]
        self.state = state

    def end(self, state: State, delivery: DeliveryStatus) -> None:
        self.move(state)
        self.staged = False
        if self.has_callback:
            self.delivery = delivery


class QueueMachine(RuleBasedStateMachine):
    """Drives both; `attempts` are claims that were made, current or long past."""

    tasks = Bundle("tasks")
    attempts = Bundle("attempts")
    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = connect_async(self.redis_url)
        self.sync_client = connect(self.redis_url)
        self.sync_client.flushall()
        self.queue = Queue(self.client, "model")
        self.model: dict[str, ModelTask] = {}
        self.ended: list[str] = []
        self.arrived: list[str] = []
        self.keys: dict[str, tuple[str, str]] = {}
        self.leases: dict[str, str] = {}

    def teardown(self) -> None:
        self.do(self.client.aclose())
        self.sync_client.close()
        self.loop.close()

    def do(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def report(self, attempt_id: AttemptId, token: str, holder: str = "holder") -> Report:
        environment = {
            Env.REDIS_URL: self.redis_url,
            Env.INSTANCE: "model",
            Env.TASK_ID: attempt_id.task_id,
            Env.ATTEMPT: str(attempt_id.attempt),
            Env.TOKEN: token,
            Env.HOLDER: holder,
        }
        return Report(self.sync_client, read_attempt(environment))

    def waiting(self) -> list[ModelTask]:
        queued = (task for task in self.model.values() if task.state is State.QUEUED)
        return sorted(queued, key=lambda task: (-task.priority, task.task_id))

    def is_current(self, task: ModelTask | None, attempt_id: AttemptId, token: str | None = None) -> bool:
        """Whether this is the current attempt; a runner has its token to show, since a number may be given again."""
        if task is None or token not in {None, task.token}:
            return False
        return task.attempt == attempt_id.attempt and task.state in {State.STARTING, State.RUNNING}

    @initialize(target=tasks)
    def begin(self):
        return multiple()

    @rule(
        target=tasks,
        task_type=st.sampled_from(TYPES),
        priority=st.sampled_from((-100, 0, 0, 7, 100)),
        receiver=st.sampled_from((None, *RECEIVERS)),
        idempotency_key=st.sampled_from((None, None, "first", "second")),
        digest=st.sampled_from(("a", "b")),
    )
    def submit(self, task_type, priority, receiver, idempotency_key, digest):
        url = receiver and f"http://{receiver}/"
        has_callback = url is not None
        submission = Submission(task_type, INPUT, url, priority, 60_000, idempotency_key, digest)
        reply = self.do(self.queue.submit(submission, LIMITS))
        known = self.keys.get(idempotency_key or "")
        if known is not None:
            first, first_digest = known
            if digest != first_digest:
                assert reply == Refused("conflict", first)
            elif first not in self.model:
                assert reply == Refused("expired", first)
            else:
                assert isinstance(reply, Accepted)
                assert reply.replayed
                assert reply.task.task_id == first
            return multiple()
        if len(self.waiting()) >= LIMITS.max_length:
            assert reply == Refused("full_length", str(len(self.waiting())))
            return multiple()
        if isinstance(reply, Refused):  # when there is room has tests of its own
            assert reply.code in {"full_receiver", "full_undelivered"}
            assert receiver
            return multiple()
        assert isinstance(reply, Accepted)
        assert not reply.replayed
        task = ModelTask(reply.task.task_id, task_type, priority, has_callback, receiver=receiver)
        task.delivery = DeliveryStatus.WAITING if has_callback else DeliveryStatus.NONE
        assert not self.model or task.task_id > max(self.model), "ids rise in the order of submission"
        self.model[task.task_id] = task
        if idempotency_key:
            self.keys[idempotency_key] = (task.task_id, digest)
        assert reply.task.queue_position == self.waiting().index(task) + 1
        return task.task_id

    @rule(
        target=attempts,
        concurrency=st.integers(0, 4),
        slow_limit=st.sampled_from((None, 0, 1, 2)),
        most_suspended=st.integers(0, 3),
    )
    def claim(self, concurrency, slow_limit, most_suspended):
        limits = {"fast": None, "slow": slow_limit}
        claim = self.do(self.queue.claim(concurrency, limits, suspended_concurrency=most_suspended))
        used = {name: sum(len(t.slots) for t in self.model.values() if t.task_type == name) for name in TYPES}
        suspended = {name: sum(len(t.suspended) for t in self.model.values() if t.task_type == name) for name in TYPES}
        free = sum(used.values()) - sum(suspended.values()) < concurrency
        full = sum(suspended.values()) >= most_suspended
        open_types = {
            name
            for name in TYPES
            if (limits[name] is None or used[name] < limits[name]) and not (full and suspended[name])
        }
        fitting = [task for task in self.waiting() if free and task.task_type in open_types]
        if not fitting:
            assert claim is None
            self.see_what_was_dropped()
            return multiple()
        task = fitting[0]
        self.see_what_was_dropped()
        assert claim is not None
        assert claim.attempt_id.task_id == task.task_id
        task.move(State.STARTING)
        task.attempt += 1
        task.holder = None
        assert claim.attempt_id.attempt == task.attempt
        task.token = claim.token
        task.slots.add(task.attempt)
        return claim.attempt_id, claim.token

    def see_what_was_dropped(self):
        """The service made room: those that it dropped are the oldest of their receivers, and are dead."""
        for receiver in RECEIVERS:
            left = self.sync_client.zrange(f"{PREFIX}undelivered:{receiver}", 0, -1)
            before = [i for i in self.arrived if self.model[i].receiver == receiver and self.model[i].delivery in OPEN]
            gone = len(before) - len(left)
            assert [task_id.encode() for task_id in before[gone:]] == left, "the oldest go"
            for task_id in before[:gone]:
                task = self.model[task_id]
                task.delivery, task.dropped = DeliveryStatus.DEAD, True
                self.leases.pop(task_id, None)
                self.arrived.remove(task_id)

    @rule(target=attempts, percent=st.floats(0, 100))
    def claim_and_run(self, percent):
        attempt = self.claim(4, None, 3)
        if isinstance(attempt, tuple):
            self.start(attempt, "holder")
            self.progress(attempt, percent)
        return attempt

    @rule(
        receiver=st.sampled_from(RECEIVERS),
        body=st.sampled_from(BODIES),
        statuses=st.lists(st.sampled_from((None, None, DeliveryStatus.PENDING, DeliveryStatus.DELIVERED)), max_size=4),
    )
    def bring_results(self, receiver, body, statuses):
        """Tasks that are run to their ends, all in one: results pile up that way."""
        for _ in statuses:
            self.submit("fast", 100, receiver, None, "")
        for status in statuses:
            attempt = self.claim(100, None, 100)
            if isinstance(attempt, tuple):
                self.start(attempt, "holder")
                self.finish(attempt, State.DONE, wrong_token=False, percent=0, body=body)
                self.release(attempt)
                if status is not None:
                    self.report_delivery(attempt[0].task_id, late=False, status=status)

    @rule(attempt=attempts, holder=st.sampled_from(("holder", "other")))
    def start(self, attempt, holder):
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        allowed = self.is_current(task, attempt_id, token) and (task.state is State.STARTING or task.holder == holder)
        if not allowed:
            with pytest.raises(RunnerRefused):
                self.report(attempt_id, token, holder).start()
            return
        started = self.report(attempt_id, token, holder).start()
        assert started.task_input == INPUT.encode()
        assert started.started_ms >= started.created_ms
        if task.state is State.STARTING:
            task.move(State.RUNNING)
            task.holder = holder
            task.tenths = 0
            task.suspended.discard(task.attempt)

    @rule(attempt=attempts, percent=st.floats(0, 100))
    def progress(self, attempt, percent):
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        current = self.is_current(task, attempt_id, token) and (task.state is State.RUNNING or task.holder is not None)
        assert self.report(attempt_id, token).progress(percent) == current
        if current:
            task.tenths = max(task.tenths, min(int(percent * 10), 999))

    @rule(attempt=attempts, holder=st.sampled_from(("holder", "other")))
    def prepare(self, attempt, holder):
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        report = self.report(attempt_id, token, holder)
        if self.is_current(task, attempt_id, token) and task.holder in {None, holder}:
            assert report.prepare() == INPUT.encode()
            task.holder, task.staged = holder, False
        else:
            with pytest.raises(RunnerRefused):
                report.prepare()

    @rule(attempt=attempts)
    def begin_program(self, attempt):
        attempt_id, _ = attempt
        task = self.model.get(attempt_id.task_id)
        starts = self.is_current(task, attempt_id) and task.state is State.STARTING
        assert self.do(self.queue.begin(attempt_id)) == starts
        if starts:
            task.move(State.RUNNING)
            task.suspended.discard(task.attempt)

    @rule(attempt=attempts, holder=st.sampled_from(("holder", "other")), percent=st.floats(0, 100))
    def stage(self, attempt, holder, percent):
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        report = self.report(attempt_id, token, holder)
        if self.is_current(task, attempt_id, token) and task.holder == holder:
            report.stage(Staged(BODY.decode(), percent=percent), until=0)
            task.staged = True
            task.tenths = max(task.tenths, min(int(percent * 10), 999))
        else:
            with pytest.raises(RunnerRefused):
                report.stage(Staged("null"), until=0)

    @rule(attempt=attempts, released=st.booleans())
    def suspend(self, attempt, released):
        attempt_id, _ = attempt
        task = self.model.get(attempt_id.task_id)
        self.do(self.queue.suspend(attempt_id, Reason("suspended", "by Kueue"), released=released))
        if self.is_current(task, attempt_id) and (task.state is State.RUNNING or task.holder is not None):
            task.state, task.holder, task.staged, task.tenths = State.STARTING, None, False, 0
            self.mark(task, suspended=not released)

    @rule(attempt=attempts, code=st.sampled_from(("suspended", "terminating", "image", "")))
    def note_waiting(self, attempt, code):
        attempt_id, _ = attempt
        task = self.model.get(attempt_id.task_id)
        self.do(self.queue.note_waiting(attempt_id, Reason(code, "words") if code else None))
        if self.is_current(task, attempt_id) and task.state is State.STARTING:
            self.mark(task, suspended=code == "suspended")

    def mark(self, task, *, suspended):
        if suspended:
            task.suspended.add(task.attempt)
        else:
            task.suspended.discard(task.attempt)

    @rule(
        attempt=attempts,
        state=st.sampled_from((State.DONE, State.FAILED)),
        wrong_token=st.booleans(),
        percent=st.floats(0, 100),
        body=st.sampled_from(BODIES),
    )
    def finish(self, attempt, state, wrong_token, percent, body):
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        error = None if state is State.DONE else {"code": "task_error", "message": "it broke"}
        outcome = Outcome(state, "null", error, percent)
        finish = self.report(attempt_id, "wrong" if wrong_token else token).finish
        right = task is not None and not wrong_token and task.attempt == attempt_id.attempt and task.token == token
        if right and task.state is State.RUNNING:
            finish(outcome, body, 5, until=0)
            # Whether the runner may make the first attempt depends on what is known of the receiver, and on the time.
            found = self.do(self.queue.read(task.task_id))[0].delivery.status
            task.end(state, DeliveryStatus.SENDING if found is DeliveryStatus.SENDING else DeliveryStatus.PENDING)
            task.body = body
            self.ended.append(task.task_id)
            self.arrived += [task.task_id] if task.has_callback else []
            task.tenths = 1000 if state is State.DONE else max(task.tenths, min(int(percent * 10), 999))
            if found is DeliveryStatus.SENDING:
                self.leases[task.task_id] = token
        elif right and task.state is state:
            finish(outcome, b"a repeat changes nothing", 6, until=0)
        else:
            with pytest.raises(RunnerRefused):
                finish(outcome, BODY, 5, until=0)

    @rule(attempt=attempts, counts=st.booleans())
    def requeue(self, attempt, counts):
        attempt_id, _ = attempt
        task = self.model.get(attempt_id.task_id)
        current = self.is_current(task, attempt_id)
        reason = Reason("attempt_lost", "gone")
        assert self.do(self.queue.requeue(attempt_id, reason, counts_as_loss=counts)) == current
        if current:
            task.move(State.QUEUED)
            task.tenths = 0
            task.holder = None
            task.staged = False
            task.losses += counts
            task.slots.discard(task.attempt)
            task.suspended.discard(task.attempt)

    @rule(attempt=attempts)
    def put_back(self, attempt):
        """An attempt whose start was refused: its number is given again."""
        attempt_id, token = attempt
        task = self.model.get(attempt_id.task_id)
        if not self.is_current(task, attempt_id) or task.token != token or task.state is not State.STARTING:
            return  # the dispatcher puts back only what it has just claimed
        if task.holder is not None or task.suspended:
            return
        reason = Reason("cannot_start", "refused")
        assert self.do(self.queue.requeue(attempt_id, reason, counts_as_loss=False, never_started=True))
        task.move(State.QUEUED)
        task.slots.discard(task.attempt)
        task.attempt -= 1

    @rule(attempt=attempts)
    def release(self, attempt):
        attempt_id, _ = attempt
        task = self.model.get(attempt_id.task_id)
        if self.is_current(task, attempt_id):
            return  # The controller releases only what is over.
        task_type = task.task_type if task else "fast"
        self.do(self.queue.release(Slot(attempt_id, task_type)))
        if task:
            task.slots.discard(attempt_id.attempt)
            task.suspended.discard(attempt_id.attempt)
            if task.attempt == attempt_id.attempt and task.state in ENDS:
                task.token = ""

    @rule(task_id=tasks, stale=st.booleans())
    def cancel(self, task_id, stale):
        found = self.do(self.queue.read(task_id))
        if task_id not in self.model:
            assert found is None
            return
        task, seen = self.model[task_id], found[0]
        if stale and task.state is State.STARTING:
            task.move(State.RUNNING)
            task.holder = "holder"
            task.suspended.discard(task.attempt)
            self.report(AttemptId(task_id, task.attempt), task.token).start()
        possible = seen.state is task.state and not seen.ended
        reason = Reason("cancelled", "by request")
        assert self.do(self.queue.conclude(seen, State.CANCELLED, reason, BODY, 7)) == possible
        if possible:
            task.end(State.CANCELLED, DeliveryStatus.PENDING)
            self.ended.append(task_id)
            self.arrived += [task_id] if task.has_callback else []

    @rule(limit=st.integers(1, 3), token=st.sampled_from(("sender-1", "sender-2")))
    def lease_deliveries(self, limit, token):
        due = [task_id for task_id in self.model if self.model[task_id].delivery is DeliveryStatus.PENDING]
        _, leased = self.do(self.queue.deliveries.claim(room_for(limit), HOUR_SECONDS, token))
        assert len(leased) == min(limit, len(due))
        for delivery in leased:
            assert delivery.task_id in due
            assert delivery.tries == self.model[delivery.task_id].tries_since
            self.model[delivery.task_id].delivery = DeliveryStatus.SENDING
            self.leases[delivery.task_id] = token

    @rule(
        task_id=tasks,
        late=st.booleans(),
        status=st.sampled_from((DeliveryStatus.DELIVERED, DeliveryStatus.PENDING, DeliveryStatus.DEAD)),
    )
    def report_delivery(self, task_id, late, status):
        token = "late" if late else self.leases.get(task_id, "none")
        self.do(self.queue.deliveries.report(task_id, token, status, 0, Sent("service", 0, Try("no"))))
        task = self.model.get(task_id)
        if task is None or task.delivery in {DeliveryStatus.NONE, DeliveryStatus.WAITING, DeliveryStatus.DELIVERED}:
            return
        if (status is DeliveryStatus.DELIVERED and not task.moved) or token == self.leases.get(task_id):
            task.delivery = status
            if status not in OPEN and task_id in self.arrived:
                self.arrived.remove(task_id)
            task.tries += 1
            task.tries_since += 1
            self.leases.pop(task_id, None)

    @rule(attempt=attempts, data=st.sampled_from(('"a"', '"' + "b" * 500 + '"')))
    def save(self, attempt, data):
        attempt_id, token = attempt
        self.report(attempt_id, token).save(data)

    @rule(task_id=tasks)
    def give_up(self, task_id):
        code = self.do(self.queue.deliveries.give_up(task_id, "given up")).code
        task = self.model.get(task_id)
        if task is None:
            assert code == "unknown"
        elif not task.has_callback:
            assert code == "no_callback"
        elif task.state not in ENDS:
            assert code == "not_ended"
        elif task.delivery is DeliveryStatus.DELIVERED:
            assert code == "delivered"
        else:
            assert code == "given_up"
            if task.delivery in OPEN:
                task.delivery = DeliveryStatus.DEAD
                self.leases.pop(task_id, None)
                self.arrived.remove(task_id)

    @rule(task_id=tasks, receiver=st.sampled_from((None, None, *RECEIVERS)))
    def redeliver(self, task_id, receiver):
        task = self.model.get(task_id)
        url = receiver and f"http://{receiver}/"
        code = self.do(self.queue.deliveries.redeliver(task_id, url)).code
        moves = task is not None and receiver not in {None, task.receiver}
        if task is not None and task.has_callback and task.state in ENDS and task.dropped:
            assert code == "gone"
            return
        if code in {"full_receiver", "full_undelivered"}:
            assert moves or task.delivery not in OPEN
            return
        if task is None:
            assert code == "unknown"
        elif task.delivery is DeliveryStatus.NONE:
            assert code == "no_callback"
        elif task.state not in ENDS:
            assert code == "not_ended"
        elif task.delivery is DeliveryStatus.SENDING and not moves:
            assert code == "sending"
        else:
            assert code == "due"
            if moves and task_id in self.arrived:
                self.arrived.remove(task_id)
            if task_id not in self.arrived:
                self.arrived.append(task_id)
            if moves:
                task.receiver, task.moved = receiver, True
            self.leases.pop(task_id, None)
            task.delivery = DeliveryStatus.PENDING
            task.tries_since = 0

    @rule(attempt=attempts, data=st.sampled_from((b"", b"x", b"x" * 2000, b"x" * 65536)), replace=st.booleans())
    def keep_log(self, attempt, data, replace):
        attempt_id, _ = attempt
        task, number = self.model.get(attempt_id.task_id), attempt_id.attempt
        keeps = task is not None and (replace or number not in task.logs)
        log = LogTail(data, note="a note")
        assert self.do(self.queue.logs.keep(attempt_id, log, 10**9, replace=replace)) == keeps
        if keeps:
            task.logs[number] = data
            while sum(len(one) + LOG_ENTRY_BYTES for one in task.logs.values()) > MOST_LOG_BYTES and len(task.logs) > 1:
                del task.logs[min(task.logs)]

    @invariant()
    def logs_are_the_model(self):
        for model in self.model.values():
            stored = self.do(self.queue.logs.read(model.task_id))
            assert {number: log.data for number, log in stored.attempts.items()} == model.logs
            assert (stored.state, stored.unfinished) == (model.state, model.attempt in model.slots | model.suspended)
        entries = [len(data) + LOG_ENTRY_BYTES for task in self.model.values() for data in task.logs.values()]
        assert self.do(self.queue.counts()).log_bytes == sum(entries)
        ordered = {name.decode() for name in self.sync_client.zrange(f"{PREFIX}logs", 0, -1)}
        assert ordered == {task.task_id for task in self.model.values() if task.logs}

    @rule(keep=st.integers(0, 2))
    def sweep(self, keep):
        self.do(self.queue.sweep(Retention(HOUR_SECONDS * 10_000_000, keep, 1_000_000, 10**9)))
        self.see_what_was_dropped()
        count = len(self.ended)
        for task_id in list(self.ended):
            if count <= keep:
                break
            task = self.model[task_id]
            self.ended.remove(task_id)
            due = task.delivery in {DeliveryStatus.PENDING, DeliveryStatus.SENDING}
            if due or task.attempt in task.slots:
                self.ended.append(task_id)
            else:
                del self.model[task_id]
                count -= 1

    @rule(task_id=consumes(tasks))
    def read_the_body(self, task_id):
        body = self.do(self.queue.read_body(task_id))
        model = self.model.get(task_id)
        if model is None:
            assert body.swept
            return
        assert body.state is model.state
        assert body.body == (model.body if model.state in ENDS and not model.dropped else None)
        assert (body.dropped is not None) == model.dropped

    @invariant()
    def every_task_is_as_the_model(self):
        for model in self.model.values():
            task, use = self.do(self.queue.read(model.task_id))
            assert (task.state, task.attempt, task.losses) == (model.state, model.attempt, model.losses)
            assert task.percent_tenths == model.tenths
            assert (task.staged is not None) == model.staged
            assert (self.do(self.queue.read_staged(model.task_id)) is not None) == model.staged
            assert (task.delivery.status, task.delivery.attempts) == (model.delivery, model.tries)
            assert use.total == sum(len(other.slots - other.suspended) for other in self.model.values())

    @invariant()
    def list_is_the_model(self):
        """Page by page, newest first, with places in the queue."""
        positions = {task.task_id: place for place, task in enumerate(self.waiting(), 1)}
        expected = [(t.task_id, t.state, positions.get(t.task_id)) for t in self.model.values()][::-1]
        seen, cursor = [], None
        while True:
            page = self.do(self.queue.list(cursor=cursor, limit=3, states=State, task_type=None))
            assert page.total == len(expected)
            seen += [(task.task_id, task.state, task.queue_position) for task in page.tasks]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == expected

    def waiting_bytes(self, task: ModelTask) -> int:
        past = self.sync_client.lrange(f"{PREFIX}attempts:{task.task_id}", 0, -1)
        saved = self.sync_client.get(f"{PREFIX}checkpoint:{task.task_id}") or b""
        return len(INPUT) + len(saved) + sum(map(len, past))

    def ended_bytes(self, task: ModelTask) -> int:
        """What a task that has ended is to be counted with: all its texts, and a fixed number for the rest."""
        record = self.sync_client.hgetall(f"{PREFIX}task:{task.task_id}")
        texts = [record.get(name, b"") for name in (b"result_url", b"error_message", b"message", b"dropped")]
        texts += [self.sync_client.get(f"{PREFIX}{name}:{task.task_id}") or b"" for name in ("body", "answer")]
        for name in ("attempts", "tries"):
            texts += self.sync_client.lrange(f"{PREFIX}{name}:{task.task_id}", 0, -1)
        return TASK_BYTES + sum(map(len, texts))

    @invariant()
    def bytes_are_those_of_the_records(self):
        """All counters are sums over what is there, and name no receiver of which nothing waits."""
        kept, undelivered, line, expected = 0, Counter(), defaultdict(set), Counter()
        for task in self.model.values():
            receiver = task.receiver
            if task.state not in ENDS:
                expected.update([receiver] if receiver else [])
            elif task.delivery in OPEN:
                undelivered[receiver] += self.ended_bytes(task)
                line[receiver].add(task.task_id.encode())
            else:
                kept += self.ended_bytes(task)
        counts = self.do(self.queue.counts())
        assert (counts.kept_bytes, counts.undelivered_bytes) == (kept, sum(undelivered.values()))
        scores = self.sync_client.zrange(f"{PREFIX}undelivered", 0, -1, withscores=True)
        assert {name.decode(): score for name, score in scores} == undelivered
        lines = {name: set(self.sync_client.zrange(f"{PREFIX}undelivered:{name}", 0, -1)) for name in RECEIVERS}
        assert {name: ids for name, ids in lines.items() if ids} == line
        assert {k.decode(): int(v) for k, v in self.sync_client.hgetall(f"{PREFIX}expected").items()} == expected

    @invariant()
    def no_more_waits_than_may(self):
        counts = self.do(self.queue.counts())
        slots = sum(len(task.slots) for task in self.model.values())
        assert counts.undelivered_bytes <= LIMITS.undelivered_max_bytes + (slots + 1) * MOST_BYTES

    @invariant()
    def counts_are_the_model(self):
        counts = self.do(self.queue.counts())
        assert counts.queued_bytes == sum(map(self.waiting_bytes, self.waiting()))
        slots = {(t.task_id, attempt) for t in self.model.values() for attempt in t.slots}
        assert {(s.attempt_id.task_id, s.attempt_id.attempt) for s in self.do(self.queue.slots())} == slots
        unsettled = [t for t in self.model.values() if t.state in {State.STARTING, State.RUNNING}]
        assert all(t.attempt in t.slots for t in unsettled), "no attempt without a slot"


def test_queue_follows_its_model(own_valkey, monkeypatch):
    monkeypatch.setattr("runner.report.START_PATIENCE_SECONDS", 0.0)  # another holder is refused at once

    class Machine(QueueMachine):
        redis_url = own_valkey.url

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
