// Calls the gRPC service as a program in Node does, and prints what it gets as JSON: node client.js TARGET PROTO FILE
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [target, proto, file] = process.argv.slice(2);
const definition = loader.loadSync(proto, { keepCase: true, enums: String, longs: Number });
const { SpeechService } = grpc.loadPackageDefinition(definition).whisper.v1;
const client = new SpeechService(target, grpc.credentials.createInsecure());
const audio = readFileSync(file);
const options = { language: "en", word_timestamps: true };
const deadline = () => ({ deadline: Date.now() + 120_000 });

const unary = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, new grpc.Metadata(), deadline(), (error, answer) => (error ? reject(error) : resolve(answer))),
  );

const chunks = () =>
  new Promise((resolve, reject) => {
    const call = client.TranscribeChunks(new grpc.Metadata(), deadline(), (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
    call.write({ options });
    for (let start = 0; start < audio.length; start += 65_536) {
      call.write({ chunk: audio.subarray(start, start + 65_536) });
    }
    call.end();
  });

const streamed = async () => {
  const events = [];
  for await (const event of client.TranscribeStream({ options, audio }, new grpc.Metadata(), deadline())) {
    events.push(event);
  }
  return events;
};

const refused = () => unary("Transcribe", { options: { language: "klingon" }, audio }).catch(({ code, details }) => ({ code, details }));

const found = {
  models: (await unary("ListModels", {})).models.map(({ id }) => id),
  language: (await unary("DetectLanguage", { audio })).language_code,
  whole: (await unary("Transcribe", { options, audio })).transcription,
  chunks: (await chunks()).transcription,
  streamed: await streamed(),
  refused: await refused(),
};
console.log(JSON.stringify(found));
client.close();
