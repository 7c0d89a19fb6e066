{#-
The types are Fullstory's own words: str, int, real, bool, date; strs, ints, reals,
bools and dates for lists of them; and json for everything else.
-#}

{%- macro scalar_types() -%}
    {{ return(['str', 'int', 'real', 'bool', 'date']) }}
{%- endmacro -%}

{%- macro is_list_type(type) -%}
    {{ return(type[-1] == 's' and type[:-1] in dbt_fullstory_imports.scalar_types()) }}
{%- endmacro -%}

{%- macro check_type(type, place) -%}
    {%- set known = dbt_fullstory_imports.scalar_types() + ['json'] -%}
    {%- if type not in known and not dbt_fullstory_imports.is_list_type(type) -%}
        {%- do exceptions.raise_compiler_error(
            place ~ ' has the unknown type `' ~ type ~ '`. Use one of ' ~ (known | join(', '))
            ~ ', or strs, ints, reals, bools, dates for a list.'
        ) -%}
    {%- endif -%}
{%- endmacro -%}


{#- The warehouse's type for one of the words. -#}
{%- macro sql_type(type) -%}
    {{ return(adapter.dispatch('sql_type', 'dbt_fullstory_imports')(type)) }}
{%- endmacro -%}

{%- macro postgres__sql_type(type) -%}
    {%- set names = {
        'str': 'text', 'int': 'bigint', 'real': 'double precision', 'bool': 'boolean',
        'date': 'timestamp', 'json': 'jsonb'
    } -%}
    {{ return(names[type] if type in names else names[type[:-1]] ~ '[]') }}
{%- endmacro -%}

{%- macro snowflake__sql_type(type) -%}
    {%- set names = {
        'str': 'varchar', 'int': 'bigint', 'real': 'double', 'bool': 'boolean',
        'date': 'timestamp_ntz', 'json': 'variant'
    } -%}
    {{ return(names.get(type, 'array')) }}
{%- endmacro -%}


{#- A JSON value as a column of a type; null where it has another type. -#}
{%- macro typed(json, type) -%}
    {%- set kind = dbt_fullstory_imports.json_kind(json) -%}
    {%- set text = dbt_fullstory_imports.json_text(json) -%}
    {%- if type == 'str' -%}
        {{ text }}
    {%- elif type == 'json' -%}
        case when {{ kind }} <> 'null' then {{ json }} end
    {%- elif type == 'bool' -%}
        case when {{ kind }} = 'boolean' then {{ text }} = 'true' end
    {%- elif type == 'int' -%}
        case when {{ kind }} = 'number' then {{ dbt_fullstory_imports.text_to_int(text) }} end
    {%- elif type == 'real' -%}
        case when {{ kind }} = 'number' then {{ dbt_fullstory_imports.text_to_real(text) }} end
    {%- elif type == 'date' -%}
        case when {{ kind }} = 'string' then {{ dbt_fullstory_imports.text_to_date(text) }} end
    {%- else -%}
        case
            when {{ kind }} = 'array'
                then {{ dbt_fullstory_imports.json_to_list(json, type[:-1]) }}
        end
    {%- endif -%}
{%- endmacro -%}


{#- The type of a JSON value that is no array; `null` for null. -#}
{%- macro type_of(json) -%}
    {%- set text = dbt_fullstory_imports.json_text(json) -%}
    case {{ dbt_fullstory_imports.json_kind(json) }}
        when 'string' then
            case when {{ dbt_fullstory_imports.text_to_date(text) }} is null then 'str' else 'date' end
        when 'number' then
            case when {{ dbt_fullstory_imports.text_to_int(text) }} is null then 'real' else 'int' end
        when 'boolean' then 'bool'
        when 'array' then 'json'
        when 'object' then 'json'
        else 'null'
    end
{%- endmacro -%}


{%- macro json_to_list(json, type) -%}
    {{ return(adapter.dispatch('json_to_list', 'dbt_fullstory_imports')(json, type)) }}
{%- endmacro -%}

{%- macro postgres__json_to_list(json, type) -%}
    array(
        select {{ dbt_fullstory_imports.typed('element.value', type) }}
        from jsonb_array_elements({{ json }}) with ordinality as element (value, place)
        order by element.place
    )
{%- endmacro -%}

{#- Snowflake's arrays hold values of any type. -#}
{%- macro snowflake__json_to_list(json, type) -%}
    cast({{ json }} as array)
{%- endmacro -%}


{#- Each gives null where the text is something else. -#}
{%- macro text_to_int(text) -%}
    {{ return(adapter.dispatch('text_to_int', 'dbt_fullstory_imports')(text)) }}
{%- endmacro -%}

{%- macro postgres__text_to_int(text) -%}
    case
        when {{ text }} ~ '^-?[0-9]{1,19}$' then
            case
                when cast({{ text }} as numeric) between -9223372036854775808 and 9223372036854775807
                    then cast({{ text }} as bigint)
            end
    end
{%- endmacro -%}

{%- macro snowflake__text_to_int(text) -%}
    case when regexp_like({{ text }}, '-?[0-9]{1,19}') then try_cast({{ text }} as bigint) end
{%- endmacro -%}


{%- macro text_to_real(text) -%}
    {{ return(adapter.dispatch('text_to_real', 'dbt_fullstory_imports')(text)) }}
{%- endmacro -%}

{#- PostgreSQL has no `try_cast`. Outside of these bounds its cast would fail. -#}
{%- macro postgres__text_to_real(text) -%}
    case
        when cast({{ text }} as numeric) = 0
            or abs(cast({{ text }} as numeric)) between 1e-307 and 1.79e308
            then cast({{ text }} as double precision)
    end
{%- endmacro -%}

{%- macro snowflake__text_to_real(text) -%}
    try_cast({{ text }} as double)
{%- endmacro -%}


{#- ISO 8601 in UTC; without an offset, a time is in UTC already. -#}
{%- macro text_to_date(text) -%}
    {{ return(adapter.dispatch('text_to_date', 'dbt_fullstory_imports')(text)) }}
{%- endmacro -%}

{%- macro iso_8601_time() -%}
    {{ return('[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?') }}
{%- endmacro -%}

{%- macro iso_8601_zone() -%}
    {{ return('(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])') }}
{%- endmacro -%}

{#- The pattern knows the calendar, because a cast of 30 February would fail. -#}
{%- macro postgres__text_to_date(text) -%}
    {%- set month_and_day = [
        '(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])',
        '(0[13-9]|1[0-2])-(29|30)',
        '(0[13578]|1[02])-31'
    ] | join('|') -%}
    {%- set leap_years = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)' -%}
    {%- set day = '([0-9]{4}-(' ~ month_and_day ~ ')|' ~ leap_years ~ '-02-29)' -%}
    {%- set time = dbt_fullstory_imports.iso_8601_time() -%}
    {%- set zone = dbt_fullstory_imports.iso_8601_zone() -%}
    case
        when {{ text }} like '0000%' then null
        when {{ text }} ~ '^{{ day }}{{ time }}{{ zone }}$'
            then cast({{ text }} as timestamptz) at time zone 'UTC'
        when {{ text }} ~ '^{{ day }}({{ time }})?$'
            then cast({{ text }} as timestamp)
    end
{%- endmacro -%}

{%- macro snowflake__text_to_date(text) -%}
    {%- set day = '[0-9]{4}-[0-9]{2}-[0-9]{2}' -%}
    {%- set time = dbt_fullstory_imports.iso_8601_time() -%}
    {%- set zone = dbt_fullstory_imports.iso_8601_zone() -%}
    case
        when regexp_like({{ text }}, '{{ day }}{{ time }}{{ zone }}')
            then cast(convert_timezone('UTC', try_cast({{ text }} as timestamp_tz)) as timestamp_ntz)
        when regexp_like({{ text }}, '{{ day }}({{ time }})?')
            then try_cast({{ text }} as timestamp_ntz)
    end
{%- endmacro -%}


{#-
The one type for values of these types: str if they have nothing else in common. `null`
is of any type, and `nulls` (a list of nothing else) of any type of list.
-#}
{%- macro common_type(types) -%}
    {%- set types = dbt_fullstory_imports.telling_types(types) -%}
    {%- set wider = {
        'date,str': 'str', 'int,real': 'real', 'dates,strs': 'strs', 'ints,reals': 'reals'
    } -%}
    {%- if types == ['nulls'] -%}
        {{ return('strs') }}
    {%- elif types | length == 1 -%}
        {{ return(types[0]) }}
    {%- else -%}
        {{ return(wider.get(types | join(','), 'str')) }}
    {%- endif -%}
{%- endmacro -%}

{#- Whether a property has values whose types have only text in common. -#}
{%- macro is_changing(types) -%}
    {%- set types = dbt_fullstory_imports.telling_types(types) -%}
    {{ return(
        types | length > 1
        and dbt_fullstory_imports.common_type(types) == 'str'
        and types != ['date', 'str']
    ) }}
{%- endmacro -%}

{%- macro telling_types(types) -%}
    {%- set types = types | unique | reject('equalto', 'null') | sort -%}
    {%- set others = types | reject('equalto', 'nulls') | list -%}
    {%- set is_list = [] -%}
    {%- for type in others if type == 'json' or dbt_fullstory_imports.is_list_type(type) -%}
        {%- do is_list.append(type) -%}
    {%- endfor -%}
    {{ return(others if others and is_list == others else types) }}
{%- endmacro -%}
