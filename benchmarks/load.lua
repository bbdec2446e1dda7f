-- Requests of one kind, and a check of every answer.
-- wrk ... -s load.lua URL -- KIND DIRECTORY FIRST COUNT [OFFSET LENGTH]
-- KIND is GET, HEAD, PUT, range or mixed; the files FIRST, FIRST + 1, ... (COUNT of them) are stored, and what
-- they hold is in DIRECTORY, as far as they differ. A PUT stores one of these under an id from FIRST_NEW_ID on.
-- For those who try it, not for those who measure: each connection waits for PAUSE_MS milliseconds before a request,
-- and after ENOUGH answers wrk ends before its time, as at a SIGINT.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local pause = tonumber(os.getenv("PAUSE_MS"))
if pause then
  function delay() return pause end
end

local enough = tonumber(os.getenv("ENOUGH"))
local answered = 0
local ffi = enough and require("ffi")
if enough then
  ffi.cdef("int getpid(void); int kill(int pid, int signal);")
end

wrong = 0
example = ""
puts = 0        -- answered with success
lengthless = 0  -- answers without Content-Length, which end with the connection

local kind, first, count, next_id
local contents = {}  -- by the first bytes, which are each file's own
local body           -- of every PUT
local part           -- what a range has to bring
local lengths = {}   -- of the files, as HEAD may announce them
local statuses = { GET = "200", HEAD = "200 204 304", PUT = "200 201 204", range = "206",
                   mixed = "200 201 204 304" }

function init(arguments)
  kind = arguments[1]
  first, count = tonumber(arguments[3]), tonumber(arguments[4])
  next_id = tonumber(os.getenv("FIRST_NEW_ID")) + number * 1000000
  math.randomseed(next_id)
  for id = first, first + count - 1 do
    local file = io.open(arguments[2] .. "/" .. id, "rb")
    if not file then break end
    body = file:read("*a")
    file:close()
    contents[body:sub(1, 16)] = body
    lengths[tostring(#body)] = true
  end
  if kind == "range" then
    local offset, length = tonumber(arguments[5]), tonumber(arguments[6])
    wrk.headers["Range"] = "bytes=" .. offset .. "-" .. (offset + length - 1)
    part = body:sub(offset + 1, offset + length)
  end
  if os.getenv("CONDITIONAL_HEAD") then
    wrk.headers["If-Modified-Since"] = "Fri, 01 Jan 2038 00:00:00 GMT"
  end
end

local function old_file()
  return wrk.path .. (first + math.random(0, count - 1))
end

local function put()
  next_id = next_id + 1
  return wrk.format("PUT", wrk.path .. next_id, nil, body)
end

local function get()
  local headers = { Host = wrk.headers["Host"], Range = wrk.headers["Range"] }
  return wrk.format("GET", old_file(), headers)
end

local function head()
  return wrk.format("HEAD", old_file())
end

function request()
  if kind == "mixed" then
    local chance = math.random(10)
    return chance > 3 and get() or chance > 1 and head() or put()
  end
  return kind == "PUT" and put() or kind == "HEAD" and head() or get()
end

-- HEAD is answered with 204 and a header of its own, or with 304 where wrk would wait for bytes.
local function is_right(status, headers, answer)
  if not statuses[kind]:find(tostring(status), 1, true) then
    return false
  elseif kind == "range" then
    return answer == part
  elseif kind == "PUT" then
    return true
  elseif status == 204 and headers["X-Content-Length"] then
    return lengths[headers["X-Content-Length"]]
  end
  return status ~= 200 or (kind == "HEAD" and answer == "") or contents[answer:sub(1, 16)] == answer
end

function response(status, headers, answer)
  answered = answered + 1
  if answered == enough then
    ffi.C.kill(ffi.C.getpid(), 2)
  end
  if status == 200 and not headers["Content-Length"] and not headers["Transfer-Encoding"] then
    lengthless = lengthless + 1
  end
  if status == 201 or kind == "PUT" and (status == 200 or status == 204) then
    puts = puts + 1
  end
  if not is_right(status, headers, answer) then
    wrong = wrong + 1
    example = status .. " " .. answer:sub(1, 60):gsub("[^%w %p]", "?"):gsub('[\\"]', "'")
  end
end

function done(summary, latency, requests)
  local sum, sample = { wrong = 0, puts = 0, lengthless = 0 }, ""
  for _, thread in ipairs(threads) do
    for name, value in pairs(sum) do
      sum[name] = value + thread:get(name)
    end
    sample = thread:get("example")
  end
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "bytes": %d, "wrong": %d, "example": "%s", "puts": %d, "lengthless": %d,'
    .. ' "connect": %d, "read": %d, "write": %d, "timeout": %d, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, summary.bytes, sum.wrong, sample, sum.puts, sum.lengthless,
    errors.connect, errors.read, errors.write, errors.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
