// Reads a JSON list of {model, input, type, dims, output}, runs each model with ONNX
// Runtime on its input, writes the first output as raw float32 and answers with a
// JSON list of {error}.
const fs = require('fs');
const ort = require('onnxruntime-node');

async function compute(t) {
  const session = await ort.InferenceSession.create(t.model, { executionProviders: ['cpu'], logSeverityLevel: 3 });
  const raw = fs.readFileSync(t.input);
  const bytes = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length);
  const data = t.type === 'uint8' ? new Uint8Array(bytes) : new Float32Array(bytes);
  const input = new ort.Tensor(t.type, data, t.dims);
  const results = await session.run({ [session.inputNames[0]]: input });
  const output = results[session.outputNames[0]].data;
  fs.writeFileSync(t.output, Buffer.from(output.buffer, output.byteOffset, output.byteLength));
  await session.release();
}

async function main() {
  const answers = [];
  for (const t of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    try {
      await compute(t);
      answers.push({ error: '' });
    } catch (e) {
      answers.push({ error: String(e) });
    }
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
