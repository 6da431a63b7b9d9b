"""A real Apache Kafka, one node in KRaft mode, for tests: its jars come through Maven into the user's cache, once."""

import asyncio
import base64
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from compose.embedded.ports import free_ports
from compose.embedded.process import _tied_to_us as tied_to_us
from mesh.environment import environment
from services.database.kafka.topics import POSITIONS, SIGNALS, SILENT, TICKS
from tests.support.waiting import eventually

VERSION = "4.4.0"
_JAVA_AT_LEAST = 17
_OURS = {TICKS.name, SIGNALS.name, POSITIONS.name}

# The broker and its shell tools, without what only the tools of other vendors need.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>suho</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    <exclusions><exclusion>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId>
    </exclusion></exclusions>
  </dependency></dependencies>
</project>
"""


@dataclass
class Kafka:
    """A broker on loopback, its data in `folder`; it can be killed and started again."""

    jars: Path
    folder: Path
    port: int
    controller_port: int
    # Not of an event loop: each test has its own.
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def format(self) -> None:
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        formatting = self._spawn("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._settings))
        assert formatting.wait(60) == 0, self._log.read_text()

    async def start(self) -> None:
        """Ready when this returns."""
        self._process = process = self._spawn("kafka.Kafka", str(self._settings))
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 100}, logger=SILENT)

        async def ready() -> bool:
            assert process.poll() is None, self._log.read_text()[-2000:]
            try:
                return len((await asyncio.to_thread(admin.list_topics, timeout=0.5)).brokers) == 1
            except KafkaException:
                return False

        await eventually(ready, timeout_s=60)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _log(self) -> Path:
        return self.folder / "kafka.log"

    def _spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        memory = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
        command = (*tied_to_us(signal.SIGKILL), "java", *memory, "-cp", f"{self.jars}/*", *arguments)
        with self._log.open("ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _properties(self) -> dict[str, str | int]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "num.network.threads": 2,
            "num.io.threads": 2,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # After a kill the broker is told to be alive again soon.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 200,
        }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka_engine() -> AsyncIterator[Kafka]:
    """One for the session. Tests make the topics anew that they look at."""
    jars = _jars()
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        port, controller_port = free_ports(2)
        kafka = Kafka(jars, Path(folder), port, controller_port)
        kafka.format()
        await kafka.start()
        try:
            yield kafka
        finally:
            kafka.kill()


@pytest.fixture
async def kafka(kafka_engine: Kafka) -> Kafka:
    """The session's, with none of our topics in it."""
    admin = AdminClient({"bootstrap.servers": kafka_engine.bootstrap}, logger=SILENT)

    async def gone() -> bool:
        there = _OURS & set((await asyncio.to_thread(admin.list_topics, timeout=30)).topics)
        for removed in admin.delete_topics(list(there)).values() if there else ():
            try:
                removed.result(30)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # gone since the list was made
                    raise
        return not there

    await eventually(gone, timeout_s=30)
    return kafka_engine


def committed(kafka: Kafka, topic: str) -> list[Message]:
    """All of a topic as a careful reader sees it, each partition in its order."""
    settings = {
        "bootstrap.servers": kafka.bootstrap,
        "group.id": "test",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 20,
    }
    consumer = Consumer(settings, logger=SILENT)
    try:
        return _to_the_end(consumer, topic)
    finally:
        consumer.close()


def _to_the_end(consumer: Consumer, topic: str) -> list[Message]:
    known = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in known])
    found: list[Message] = []
    ended = 0
    while ended < len(known):
        message = consumer.poll(30)
        assert message is not None, "Kafka gives nothing, and not the end either"
        error = message.error()
        if error is None:
            found.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended += 1
        else:
            raise KafkaException(error)
    return found


def _jars() -> Path:
    """The folder of jars, fetched when it is not there; skips where that can not be."""
    _need_java()
    cache = Path(environment("XDG_CACHE_HOME") or Path.home() / ".cache") / "suho" / f"kafka-{VERSION}"
    if cache.is_dir():
        return cache
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Kafka: Maven (mvn), which fetches its jars, is not installed")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        (Path(folder) / "pom.xml").write_text(_POM)
        jars = Path(folder) / "jars"
        command = (maven, "-B", "-q", "-f", f"{folder}/pom.xml", "dependency:copy-dependencies")
        done = subprocess.run((*command, f"-DoutputDirectory={jars}"), capture_output=True, text=True, timeout=100)
        if done.returncode:
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no word why")
            pytest.skip(f"Kafka: Maven can not fetch its jars: {said[:300]}")
        if not cache.is_dir():  # or another session was faster
            jars.rename(cache)
    return cache


def _need_java() -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip(f"Kafka: Java {_JAVA_AT_LEAST} or newer is not installed")
    said = subprocess.run((java, "-version"), capture_output=True, text=True, timeout=20).stderr
    version = said.partition('version "')[2].partition('"')[0].partition(".")[0]
    if not version.isdecimal() or int(version) < _JAVA_AT_LEAST:
        pytest.skip(f"Kafka: Java {_JAVA_AT_LEAST} or newer is needed, {said.splitlines()[:1]} is there")
