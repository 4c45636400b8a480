// What is wrong, in an officer's words: causes of red, conditions, devices. What only a technician can use (device,
// code, the agent's own words) is kept apart as `small`.

import * as words from './words.js';

const CALL = 'Call the technician.';

const KINDS = [
  [/^(io|module)\b/i, 'I/O module'],
  [/^(rfid|reader)\b/i, 'Reader'],
  [/^(cam|camera|overview|front|rear)\b/i, 'Camera'],
  [/^(MODBUS|INPUTS|WATCHDOG|NO_HEAD)/, 'I/O module'],
  [/^(RFID|READER|SERIAL)/, 'Reader'],
  [/^CAMERA/, 'Camera'],
];

// "I/O module" of "io-1", or of its code when the id does not tell.
export function device(id, code = '') {
  const found = KINDS.find(([pattern]) => pattern.test(id)) ?? KINDS.find(([pattern]) => pattern.test(code));
  return found ? found[1] : id ? `Device ${id}` : 'Device';
}

const SILENT = /LINK_LOST|PORT_|UNREACHABLE|TIMEOUT|NO_ANSWER|SILENT|DEVICE_DOWN|STALE|GARBLED|BAD_REPLY|_BUSY$/;
const SAID = {
  CAMERA_NO_PICTURE: 'gives no picture',
  READER_OVER_TEMPERATURE: 'is too hot',
  READER_ANTENNA: 'has an antenna fault',
  RFID_RESTARTING: 'is restarting',
  RFID_SILENT: 'reads nothing',
  WRONG_DEVICE: 'is not the one expected',
};

// "Reader out of contact"
export function deviceTrouble(id, code) {
  const said = SAID[code] ?? (SILENT.test(code) ? 'out of contact' : 'has a fault');
  return `${device(id, code)} ${said}`;
}

const DOWN = /^(\S+) is down: ?(\S*)$/;

// {id, code} of a cause that says which required device is down, or null.
export function downOf(cause) {
  const [, id, code] = (cause.code === 'REQUIRED_DEVICE_DOWN' && DOWN.exec(cause.text)) || [];
  return id ? { id, code } : null;
}

const first = said => said.charAt(0).toUpperCase() + said.slice(1);
const named = (map, name) => map[name] ?? name.replaceAll('_', ' ');
const LEGS = { driver: 'Driver', conveyance: 'Vehicle', cargo: 'Cargo' };

// What the lane's logic says; a function gets what the pattern found in its text.
const CAUSES = {
  FAULT_LATCHED: ['Signal fault', /fault (\S+) is/, () => 'Signal fault', CALL],
  MODE: ['The mode of the lane', /is (\w+)$/, mode => `Lane mode is ${named({}, mode)}`, 'Set the mode with M.'],
  ZONES_LOST: ['Vehicle sensors out of contact', null, null, CALL],
  STOP_LINE_OCCUPIED: ['The vehicle ahead is still on the stop line', null, null, 'Wait until its tail has passed.'],
  STOP_LINE_BEAM_DOUBTFUL: ['The stop-line sensor may be blind', null, null, `Release one by one. ${CALL}`],
  STOPPED_IN_CORRIDOR: ['It has stopped in the corridor', null, null, 'Look, and speak with the driver.'],
  NO_VEHICLE: ['No vehicle before the stop line', null, null, ''],
  ORDER_UNKNOWN: [
    'The order of the vehicles is not known',
    null,
    null,
    'Look at the corridor and confirm the order with O, or release the vehicle at the line.',
  ],
  UNEXPECTED_VEHICLE: ['This vehicle appeared out of order', null, null, 'Look at it, then decide.'],
  IDENTITY_AMBIGUOUS: ['The identity may belong to another vehicle', null, null, 'You decide.'],
  IDENTITY_DUPLICATE: ['The same identity was seen on two vehicles', null, null, 'You decide.'],
  WAITING_IDENTITY: [
    'Not identified yet',
    /: (\w+)$/,
    leg => `${named(LEGS, leg)} not identified yet`,
    'The driver shows the card at the line, or you release.',
  ],
  WAITING_DECISION: ['Waiting for a decision', null, null, 'Central has been asked; you may decide.'],
  NOT_RELEASED: [
    'Not released',
    /^decision is (\w+)$/,
    verdict => `Decision: ${words.verdict(`VERDICT_${verdict.toUpperCase()}`).toLowerCase()}`,
    'Direct the driver.',
  ],
  DECISION_EXPIRED: ['The release has expired', null, null, 'Central is asked again.'],
  WAITING_CARGO: ['Released, but the cargo is not known', null, null, 'Central must name the cargo, or you release.'],
  CENTRE_LOST: ['Central does not answer', null, null, 'You may release standing vehicles.'],
  CONTROL_LOST: ['Nobody controls the lane since the release', null, null, 'Take control with T, then release anew.'],
  CONSOLE_LOST: ['The officer’s console is gone', null, null, 'It must come back.'],
  STALLED_AFTER_GREEN: ['It did not use its green', null, null, 'Speak with the driver; release anew.'],
  OFFICER_MUST_RELEASE: ['In this mode an officer must release', null, null, 'Release vehicles one by one.'],
  MUST_STAND_AT_LINE: ['Must stop at the line first', null, null, 'Green comes when the vehicle stands at the line.'],
};

// What the interlock says. [title, hint]
const INTERLOCK = {
  fault_latched: ['Signal fault', CALL],
  hold: ['Held', ''],
  module_not_ready: ['I/O module is not ready', CALL],
  readback_disagrees: ['The lamp is not what was commanded', CALL],
  readback_unknown: ['The signal cannot be read', CALL],
  cannot_confirm: ['The signal cannot confirm a green', CALL],
  mode: ['The mode of the lane allows no green', ''],
  stop_line_unknown: ['The stop-line sensor is out of contact', CALL],
  nose_over_line: ['A vehicle is on the stop line', ''],
  already_crossed: ['It is past the stop line', ''],
  no_lease: ['No conveyance has permission', ''],
  lease_expired: ['The permission has ended', ''],
  source_lost: ['Who gave the release is out of contact', ''],
  order_unknown: ['The order of the vehicles is not known', ''],
  not_standing: ['Must stand at the line', ''],
  barrier_not_up: ['The barrier arm is not up', 'It goes up first. If it stays down, send somebody to look at it.'],
  green_overdue: ['The green lasted too long', ''],
  minimum_red: ['Red stays for its shortest time', ''],
};

const TECHNICAL = /lanectl|lane\.yaml|\/dev\/|I\/O module|relay|feedback|cable|address|adapter|condition|repair|disk|profile/i;
const hintOf = hint => (TECHNICAL.test(hint ?? '') ? CALL : first(hint ?? ''));

// {title, hint, small} of a cause of red.
export function cause(each) {
  const down = downOf(each);
  if (down) return { title: deviceTrouble(down.id, down.code), hint: CALL, small: `${down.id} · ${down.code}` };
  const interlock = each.by === 'interlock' && INTERLOCK[each.code];
  if (interlock) return { title: interlock[0], hint: interlock[1], small: interlock[1] === CALL ? each.code : '' };
  const known = CAUSES[each.code];
  const said = first((each.text || each.code).replaceAll('_', ' '));
  if (!known) return { title: said, hint: hintOf(each.hint), small: hintOf(each.hint) === CALL ? each.code : '' };
  const [title, pattern, of, hint] = known;
  const found = pattern?.exec(each.text);
  const small = hint.endsWith(CALL) ? [each.code, found?.[1]].filter(Boolean).join(' · ') : '';
  return { title: found ? of(found[1]) : title, hint, small };
}

const BY = { system: 'central', interlock: 'signal safety' };
export const by = name => BY[name] ?? name;

// [title, hint] of the lane's own conditions; those of a device are told from their code.
const CONDITIONS = {
  REQUIRED_DEVICE_DOWN: ['A device the lane needs is down', CALL],
  CORRIDOR_ORDER_UNKNOWN: ['The order of the vehicles is not known', 'Confirm the order with O, or release standing vehicles until the corridor is empty.'],
  ZONES_LOST: ['Vehicle sensors out of contact', CALL],
  CENTRE_LOST: ['Central out of contact', 'You may release standing vehicles.'],
  CONSOLE_ABSENT: ['No officer controls the lane', 'Take control with T.'],
  STORE_DEGRADED: ['The lane’s record cannot be written as it should', CALL],
  SIGNAL_FAULT: ['Signal fault', CALL],
  BARRIER_FAULT: ['The barrier arm has a fault', CALL],
  LANE_HOLD: ['The lane is held', 'Clear the hold with C.'],
  STOP_LINE_BEAM_DOUBTFUL: ['The stop-line sensor may be blind', CALL],
  EXIT_SENSOR_DOUBTFUL: ['The exit sensor may be dead', 'Records end later. ' + CALL],
  LOOP_CHATTERS: ['A loop comes and goes by itself', 'Look who is there, then confirm the order. ' + CALL],
  TAG_FLOOD: ['The reader sees very many tags', ''],
};

// {title, hint, small, own} of a condition. `own` is the device's own words, for the technician on the telephone.
export function condition(each) {
  if (each.device) {
    const own = each.title.replace(new RegExp(`^(${each.device.replace(/\W/g, '\\$&')}:? (at )?)+`), '');
    return { title: deviceTrouble(each.device, each.code), hint: CALL, small: `${each.device} · ${each.code}`, own };
  }
  const [title, hint] = CONDITIONS[each.code] ?? [each.title, hintOf(each.hint)];
  return { title, hint, small: hint === CALL ? each.code : '', own: each.title };
}

const ALARM = 'SEVERITY_ALARM';

// What a red banner must say of devices and of the signal: {words, small}, or null when nothing.
export function banner(state, unconfirmed) {
  const conditions = state.conditions ?? [];
  const causes = state.red_causes ?? [];
  const down = causes.map(downOf).filter(Boolean);
  const alarms = conditions.filter(each => each.severity === ALARM && each.device);
  const needed = down.length > 0 || conditions.some(each => each.code === 'REQUIRED_DEVICE_DOWN');
  const kinds = new Map(down.map(each => [each.id, `${device(each.id, each.code)} down`]));
  for (const each of alarms) {
    const gone = needed && SILENT.test(each.code);
    if (!kinds.has(each.device)) kinds.set(each.device, gone ? `${device(each.device, each.code)} down` : deviceTrouble(each.device, each.code));
  }
  if (needed && !kinds.size) kinds.set('', 'A device the lane needs is down');
  const said = [...new Set(kinds.values())];
  if (unconfirmed) said.push('signal not confirmed');
  if (!said.length) return null;
  const titles = alarms.map(condition).map(each => `${each.small} · ${each.own}`);
  const small = titles.length ? titles : down.map(each => `${each.id} · ${each.code}`);
  return { words: said.join(' — ').toUpperCase(), small: [kinds.size ? CALL : '', ...small].filter(Boolean).join(' ') };
}
