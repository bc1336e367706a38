"""A real Kafka broker in KRaft mode, on loopback and a directory of its own, and what sends to it."""

import ctypes
import socket
import subprocess
import time
from pathlib import Path

JARS = Path(__file__).resolve().parents[2] / ".deps/kafka"
USER, PASSWORD = "penstock", "not-a-real-password"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class KafkaServer:
    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)
        self.port, self.password_port, controller = free_ports(3)
        self.brokers = f"127.0.0.1:{self.port}"
        self.java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                     ":".join(str(jar) for jar in JARS.glob("*.jar"))]
        (folder / "settings").write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{self.port},PASSWORD://127.0.0.1:{self.password_port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAIN:PLAINTEXT,PASSWORD:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{USER}="{PASSWORD}";
log.dirs={folder / "data"}
offsets.topic.replication.factor=1
auto.create.topics.enable=true
num.partitions=2
""")
        subprocess.run([*self.java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c",
                        folder / "settings"], check=True, capture_output=True, timeout=120)
        self.process = None

    def start(self) -> None:
        self.process = subprocess.Popen([*self.java, "kafka.Kafka", self.folder / "settings"],
                                        stdout=(self.folder / "log").open("a"), stderr=subprocess.STDOUT)
        for port in (self.port, self.password_port):
            for _ in range(6000):
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                raise AssertionError("Kafka does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def send(self, topic: str, values: list[bytes], partition: int = 0) -> None:
        """Acknowledged when it returns. The topic is made by the first message."""
        kafka = ctypes.CDLL("librdkafka.so.1")
        for name, result in (("rd_kafka_conf_new", ctypes.c_void_p), ("rd_kafka_new", ctypes.c_void_p),
                             ("rd_kafka_topic_new", ctypes.c_void_p)):
            getattr(kafka, name).restype = result
        why = ctypes.create_string_buffer(256)
        settings = ctypes.c_void_p(kafka.rd_kafka_conf_new())
        for name, value in ((b"bootstrap.servers", self.brokers.encode()),
                            (b"allow.auto.create.topics", b"true")):
            assert kafka.rd_kafka_conf_set(settings, name, value, why, len(why)) == 0, why.value
        producer = ctypes.c_void_p(kafka.rd_kafka_new(0, settings, why, len(why)))
        assert producer, why.value
        handle = ctypes.c_void_p(kafka.rd_kafka_topic_new(producer, topic.encode(), None))
        for value in values:
            sent = kafka.rd_kafka_produce(handle, ctypes.c_int32(partition), 2, ctypes.c_char_p(value),
                                          ctypes.c_size_t(len(value)), None, ctypes.c_size_t(0), None)
            assert sent == 0, f"{topic} takes no message"
        assert kafka.rd_kafka_flush(producer, 60_000) == 0
        kafka.rd_kafka_topic_destroy(handle)
        kafka.rd_kafka_destroy(producer)
