"""Our definition of TorchServe's gRPC agrees with TorchServe's own."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from whisper_serve.torchserve import inference_pb2

# All that TorchServe's file imports and ours does not.
STATUS = 'syntax = "proto3"; package google.rpc; message Status { int32 code = 1; }'


def protoc(*arguments: str, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], cwd=cwd, check=True)


@pytest.fixture(scope="module")
def torchserve_proto(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    """TorchServe's own definition, out of its jar."""
    folder = tmp_path_factory.mktemp("proto")
    spec = find_spec("ts")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "frontend" / "model-server.jar") as jar:
        (folder / "inference.proto").write_bytes(jar.read("proto/inference.proto"))
    (folder / "google" / "rpc").mkdir(parents=True)
    (folder / "google" / "rpc" / "status.proto").write_text(STATUS)
    protoc("-I.", "--descriptor_set_out=set", "inference.proto", cwd=folder)
    return FileDescriptorSet.FromString((folder / "set").read_bytes()).file[0]


def fields(message: DescriptorProto) -> dict[str, tuple[int, int, int, str]]:
    return {field.name: (field.number, field.type, field.label, field.type_name) for field in message.field}


def test_messages_agree_with_torchserve(torchserve_proto: FileDescriptorProto) -> None:
    ours = FileDescriptorProto()
    inference_pb2.DESCRIPTOR.CopyToProto(ours)
    theirs = {message.name: message for message in torchserve_proto.message_type}
    assert ours.package == torchserve_proto.package
    for message in ours.message_type:
        assert fields(message).items() <= fields(theirs[message.name]).items()


def test_calls_agree_with_torchserve(torchserve_proto: FileDescriptorProto) -> None:
    ours = FileDescriptorProto()
    inference_pb2.DESCRIPTOR.CopyToProto(ours)
    theirs = {method.name: method for method in torchserve_proto.service[0].method}
    assert ours.service[0].name == torchserve_proto.service[0].name
    for method in ours.service[0].method:
        other = theirs[method.name]
        assert (method.input_type, method.output_type) == (other.input_type, other.output_type)
