// The explorer's screen: an image that shows what it was when held, and the browser's own camera.
const EDGE = 320; // of the frames that are sent, in pixels
const MOST = 2; // frames under way

function url(view) {
  return URL.createObjectURL(new Blob([view], { type: "image/jpeg" }));
}

function render({ model, el }) {
  el.innerHTML = `
    <div class="xfer-screen" style="width:512px;max-width:100%">
      <img class="xfer-image" alt="synthetic face" draggable="false"
           style="width:100%;aspect-ratio:1;background:#222;touch-action:none;cursor:pointer">
      <div style="display:flex;gap:8px;align-items:center;min-height:32px">
        <button class="xfer-camera jupyter-button">camera on</button>
        <span class="xfer-rate"></span><span>synthetic; hold the image to compare</span>
      </div>
      <div class="xfer-text" role="status" style="white-space:pre-wrap;font-family:monospace"></div>
    </div>`;
  const find = (name) => el.querySelector(".xfer-" + name);
  const image = find("image"), button = find("camera"), rate = find("rate"), text = find("text");
  const video = document.createElement("video"), canvas = document.createElement("canvas");
  video.muted = true; video.playsInline = true;
  canvas.width = canvas.height = EDGE;
  let stream = null, underWay = 0, next = 0, sent = new Map(), times = [], held = false, live = null;

  function show(view) {
    if (!view || !view.byteLength) return;
    const before = image.src;
    image.src = url(view);
    if (before) URL.revokeObjectURL(before);
  }
  const current = () => show(held ? model.get("before") : (stream && live) || model.get("image"));
  const write = () => { text.textContent = model.get("text"); };

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
    } catch (error) {
      text.textContent = "A camera is required and cannot be used: " + error.message;
      return;
    }
    video.srcObject = stream;
    await video.play();
    button.textContent = "camera off";
    underWay = 0; sent.clear(); times = [];
    model.send({ kind: "begin" });
    capture();
  }

  function stop() {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null; live = null;
    button.textContent = "camera on"; rate.textContent = "";
    model.send({ kind: "end" });
    current();
  }

  function capture() {
    if (!stream) return;
    if (underWay < MOST && video.videoWidth) {
      const edge = Math.min(video.videoWidth, video.videoHeight);
      const x = (video.videoWidth - edge) / 2, y = (video.videoHeight - edge) / 2;
      canvas.getContext("2d").drawImage(video, x, y, edge, edge, 0, 0, EDGE, EDGE);
      underWay += 1;
      const id = next++, at = performance.now();
      sent.set(id, at);
      canvas.toBlob(async (blob) => {
        model.send({ kind: "frame", id, seconds: at / 1000 }, undefined, [await blob.arrayBuffer()]);
      }, "image/jpeg", 0.8);
    }
    setTimeout(capture, 15);
  }

  function received(message, buffers) {
    if (message.kind !== "shown") return;
    underWay = Math.max(0, underWay - 1);
    const now = performance.now(), began = sent.get(message.id);
    sent.delete(message.id);
    if (!stream) return;
    if (buffers.length) { live = buffers[0]; current(); }
    times = [...times, now].filter((t) => now - t < 2000);
    const ms = Math.round(now - began);
    rate.textContent = `${ms} ms, ${(times.length / 2).toFixed(1)} a second`;
    el.dataset.latency = ms; el.dataset.shown = Number(el.dataset.shown || 0) + 1;
  }

  const hold = (on) => () => { if (held !== on) { held = on; current(); } };
  image.addEventListener("pointerdown", hold(true));
  for (const name of ["pointerup", "pointerleave", "pointercancel"])
    image.addEventListener(name, hold(false));
  button.addEventListener("click", () => (stream ? stop() : start()));
  model.on("change:image", current);
  model.on("change:text", write);
  model.on("msg:custom", received);
  current(); write();
  return () => { if (stream) stop(); model.off("msg:custom", received); };
}

export default { render };
