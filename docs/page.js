// The page: a photograph, a painting's network, and what onnxruntime-web makes of the two.

const SMALLEST = 44; // pixels a side, which the networks need
const RUNTIMES = { wasm: "./ort/ort.wasm.min.mjs", webgpu: "./ort/ort.webgpu.min.mjs" };

const at = (id) => document.getElementById(id);
const photograph = at("photograph");
const result = at("result");
const stylised = document.createElement("canvas"); // at full strength
let source = null; // { image, name }
let style = null; // the button
let loaded = { key: "", session: null };
let taken = 0; // pictures, of which the newest counts
let asked = 0; // results, of which the newest is shown
let working = Promise.resolve();

function say(text, error = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", error);
}

async function take(blob, name) {
  const turn = ++taken;
  try {
    const image = await createImageBitmap(await blob);
    if (turn !== taken) return;
    source = { image, name: name.replace(/\.\w+$/, "") };
  } catch {
    return say(`${name} could not be read: it is not a picture, or this browser does not know its format.`, true);
  }
  drawPhotograph();
}

function drawPhotograph() {
  if (!source) return;
  const { image } = source;
  const scale = Math.min(1, at("size").value / Math.max(image.width, image.height));
  for (const canvas of [photograph, result, stylised]) {
    canvas.width = Math.max(1, Math.round(image.width * scale));
    canvas.height = Math.max(1, Math.round(image.height * scale));
  }
  const context = photograph.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, photograph.width, photograph.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, photograph.width, photograph.height);
  update();
}

function drawResult() {
  const strength = at("strength").value;
  at("percent").value = `${strength} %`;
  const context = result.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(photograph, 0, 0);
  context.globalAlpha = strength / 100;
  context.drawImage(stylised, 0, 0);
}

async function sessionOf(name, device) {
  const key = `${device} ${name}`;
  if (loaded.key !== key) {
    await loaded.session?.release();
    loaded = { key: "", session: null };
    const ort = await import(RUNTIMES[device]);
    ort.env.wasm.proxy = device === "wasm"; // in a worker, so that the page answers meanwhile
    const session = await ort.InferenceSession.create(`models/${name}.onnx`, { executionProviders: [device] });
    loaded = { key, session, Tensor: ort.Tensor };
  }
  return loaded;
}

function toTensor({ data, width, height }, Tensor) {
  const count = width * height;
  const values = new Float32Array(3 * count);
  for (let i = 0; i < 3 * count; i++) values[i] = data[4 * (i % count) + Math.floor(i / count)] / 255;
  return new Tensor("float32", values, [1, 3, height, width]);
}

function toPixels(values, width, height) {
  const count = width * height;
  const pixels = new ImageData(width, height);
  pixels.data.fill(255);
  for (let i = 0; i < 3 * count; i++) pixels.data[4 * (i % count) + Math.floor(i / count)] = Math.round(255 * values[i]);
  return pixels;
}

async function stylise(request) {
  if (request !== asked) return;
  const { width, height } = photograph;
  const name = style.dataset.style;
  const device = at("device").value;
  say("Loading the network…");
  const { session, Tensor } = await sessionOf(name, device);
  if (request !== asked) return;
  say("Painting…");
  const image = toTensor(photograph.getContext("2d").getImageData(0, 0, width, height), Tensor);
  const begun = performance.now();
  const values = await (await session.run({ image })).result.getData();
  const milliseconds = Math.round(performance.now() - begun);
  if (request !== asked) return;
  stylised.getContext("2d").putImageData(toPixels(values, width, height), 0, 0);
  drawResult();
  at("download").disabled = false;
  say(`${width} x ${height} pixels in ${milliseconds} ms, by ${at("device").selectedOptions[0].text}.`);
}

function update() {
  const request = ++asked;
  at("download").disabled = true;
  if (!source) return;
  const { width, height } = photograph;
  if (Math.min(width, height) < SMALLEST) {
    return say(`${width} x ${height} pixels are too few: each side needs ${SMALLEST} or more.`, true);
  }
  if (!style) return say("Choose a painting.");
  at("pictures").ariaBusy = "true";
  working = working.then(() => stylise(request)).catch((error) => {
    if (request === asked) say(`The picture could not be painted: ${error.message}`, true);
  }).finally(() => {
    if (request === asked) at("pictures").ariaBusy = "false";
  });
}

function takeSample() {
  take(fetch("models/sample.jpg").then((answer) => answer.blob()), "cat.jpg");
}

for (const button of at("styles").children) {
  button.ariaPressed = "false";
  button.prepend(Object.assign(new Image(), { src: `models/${button.dataset.style}.jpg`, alt: "", loading: "lazy" }));
  button.onclick = () => {
    if (style) style.ariaPressed = "false";
    style = button;
    style.ariaPressed = "true";
    update();
  };
}
at("file").onchange = ({ target }) => target.files[0] && take(target.files[0], target.files[0].name);
at("sample").onclick = takeSample;
at("size").onchange = drawPhotograph;
at("device").onchange = update;
at("strength").oninput = drawResult;
at("download").onclick = () => result.toBlob((blob) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob) });
  link.download = `${source.name}_${style.dataset.style}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
};
document.ondragleave = () => document.body.classList.remove("dragging");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) take(file, file.name);
};
const adapter = await navigator.gpu?.requestAdapter();
if (adapter && !adapter.info.isFallbackAdapter) { // such a one is the processor, many times slower
  at("device").parentElement.hidden = false;
  at("device").value = "webgpu";
}
takeSample();
